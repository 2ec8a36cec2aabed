/* What a program in C sees under `lapilli emulate`. Each check that fails is printed; the exit code
 * is their number. Knows the driver's interface from its numbers only, as any program does. */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#define NODE "/dev/dri/renderD128"
#define DEVICE "/sys/dev/char/226:128/device"
#define VERSION 0xc0406400
#define GEM_CLOSE 0x40086409
#define GET_PARAM 0xc0106440
#define GEM_NEW 0xc0106442
#define GEM_INFO 0xc0106443
#define GEM_CPU_PREP 0x40186444
#define GEM_SUBMIT 0xc0486446
#define WAIT_FENCE 0x40206447
#define PM_QUERY_DOM 0xc048644a
#define WRITE_COMBINE 0x20000

struct param { uint32_t pipe, param; uint64_t value; };
struct gem_new { uint64_t size; uint32_t flags, handle; };
struct gem_info { uint32_t handle, pad; uint64_t offset; };
struct version {
  int major, minor, patch;
  size_t name_length; char *name; size_t date_length; char *date; size_t text_length; char *text;
};
struct domain { uint32_t pipe; uint8_t next, id; uint16_t signals; char name[64]; };
struct bo { uint32_t flags, handle; uint64_t presumed; };
struct submit {
  uint32_t fence, pipe, exec_state, bos_count, relocs_count, stream_size;
  uint64_t bos, relocs, stream;
  uint32_t flags; int32_t fence_fd; uint64_t counters; uint32_t counters_count, pad;
};
struct wait { uint32_t pipe, fence, flags, pad; int64_t seconds, nanoseconds; };

static int failures, checks;

static void check(int holds, const char *text, int line) {
  checks++;
  if (!holds) {
    printf("line %d: %s (errno %d)\n", line, text, errno);
    failures++;
  }
}
#define CHECK(expression) check(!!(expression), #expression, __LINE__)
/* The call fails with this errno. */
#define FAILS(call, number) (errno = 0, CHECK((call) == -1 && errno == (number)))

static int is_node(const struct stat *s) {
  return S_ISCHR(s->st_mode) && major(s->st_rdev) == 226 && minor(s->st_rdev) == 128;
}

/* ------------------------------------------------------------------------------------- paths */

static void stats(void) {
  struct stat s;
  struct statx x;
  CHECK(!stat(NODE, &s) && is_node(&s));
  CHECK(!lstat(NODE, &s) && is_node(&s));
  CHECK(!fstatat(AT_FDCWD, NODE, &s, 0) && is_node(&s));
  CHECK(!statx(AT_FDCWD, NODE, 0, STATX_BASIC_STATS, &x) && S_ISCHR(x.stx_mode) &&
        x.stx_rdev_major == 226 && x.stx_rdev_minor == 128);
  int fd = open(NODE, O_RDWR | O_CLOEXEC);
  CHECK(!fstat(fd, &s) && is_node(&s));
  CHECK(!statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &x) && x.stx_rdev_major == 226);
  CHECK(fcntl(fd, F_GETFD) == FD_CLOEXEC);
  close(fd);
  FAILS(fstat(fd, &s), EBADF);
  /* As a program that was built with an older C library asks. */
  int (*older)(int, const char *, struct stat *) = dlsym(RTLD_DEFAULT, "__xstat");
  CHECK(older && !older(1, NODE, &s) && is_node(&s));
  FAILS(stat("/dev/dri/card7", &s), ENOENT);
  FAILS(open("/dev/dri/card7", O_RDWR), ENOENT);
  CHECK(!stat("/dev/null", &s) && S_ISCHR(s.st_mode) && major(s.st_rdev) == 1);
  CHECK(!stat("/dev/dri", &s) && S_ISDIR(s.st_mode));
  CHECK(!access(NODE, R_OK | W_OK) && !euidaccess(NODE, R_OK));
  CHECK(!faccessat(AT_FDCWD, NODE, R_OK, 0));
  FAILS(access("/dev/dri/card7", F_OK), ENOENT);
  FAILS(access("/dev/driver", F_OK), ENOENT);
}

static void directories(void) {
  int seen = 0;
  DIR *directory = opendir("/dev/dri");
  CHECK(directory != NULL);
  for (struct dirent *entry; directory && (entry = readdir(directory));) {
    seen += !strcmp(entry->d_name, "renderD128");
  }
  CHECK(seen == 1);
  /* From the directory's descriptor on, the path does not say what it is. */
  struct stat s;
  CHECK(!fstatat(dirfd(directory), "renderD128", &s, 0) && is_node(&s));
  int fd = openat(dirfd(directory), "renderD128", O_RDWR);
  CHECK(!fstat(fd, &s) && is_node(&s));
  close(fd);
  closedir(directory);
  struct dirent **list;
  CHECK(scandir("/sys/class/drm", &list, NULL, alphasort) == 3 &&
        !strcmp(list[2]->d_name, "renderD128"));
  directory = opendir(DEVICE "/drm");
  CHECK(directory != NULL);
  closedir(directory);
}

static void links(void) {
  char text[PATH_MAX] = "", line[100] = "";
  volatile size_t size = sizeof text - 1;
  CHECK(readlink(DEVICE "/subsystem", text, size) > 0 &&
        !strcmp(strrchr(text, '/'), "/platform"));
  CHECK(realpath(DEVICE, text) && !strcmp(text, "/sys/devices/platform/etnaviv"));
  char *made = realpath(NODE, NULL);
  CHECK(made && !strcmp(made, NODE));
  free(made);
  CHECK(!realpath("/dev/dri/nothing", text) && errno == ENOENT);
  FILE *file = fopen(DEVICE "/uevent", "r");
  CHECK(file && fgets(line, sizeof line, file) && !strcmp(line, "DRIVER=etnaviv\n"));
  fclose(file);
  /* Other devices stay as they are. */
  CHECK(realpath("/sys/dev/char/1:3", text) && strstr(text, "/mem/null"));
}

static void opens(void) {
  volatile int flags = O_RDWR; /* no constant: a hardened build calls __open_2 */
  int fd[] = {open(NODE, flags), open64(NODE, flags), openat(AT_FDCWD, NODE, flags),
              openat64(AT_FDCWD, NODE, flags), open(NODE, flags, 0)};
  for (size_t i = 0; i < sizeof fd / sizeof *fd; i++) {
    struct param p = {0, 1, 0};
    CHECK(!ioctl(fd[i], GET_PARAM, &p) && p.value == 0x8000);
    close(fd[i]);
  }
  char name[] = "/tmp/lapilli-XXXXXX";
  int other = mkstemp(name);
  close(other);
  unlink(name);
  other = open(name, O_CREAT | O_EXCL | O_RDWR, 0640);
  struct stat s;
  CHECK(!fstat(other, &s) && (s.st_mode & 0777) == 0640);
  FAILS(ioctl(other, GET_PARAM, NULL), ENOTTY);
  close(other);
  unlink(name);
}

/* ------------------------------------------------------------------------------------- calls */

static void identity(int fd) {
  char name[32] = "", date[32] = "", text[32] = "";
  struct version lengths = {0};
  CHECK(!ioctl(fd, VERSION, &lengths) && lengths.name_length == 7 && lengths.minor >= 4);
  struct version v = {.name_length = 32, .name = name, .date_length = 32, .date = date,
                      .text_length = 32, .text = text};
  CHECK(!ioctl(fd, VERSION, &v) && !strcmp(name, "etnaviv") && !strcmp(text, "etnaviv DRM"));
  struct version nowhere = {.name_length = 32, .name = (char *)8};
  FAILS(ioctl(fd, VERSION, &nowhere), EFAULT);
  struct param p = {0, 0x1c, 0};
  CHECK(!ioctl(fd, GET_PARAM, &p) && p.value == 0x45080009);
  struct param wrong[] = {{1, 1, 0}, {4, 1, 0}, {0, 0x1f, 0}};
  FAILS(ioctl(fd, GET_PARAM, &wrong[0]), ENXIO);
  FAILS(ioctl(fd, GET_PARAM, &wrong[1]), EINVAL);
  FAILS(ioctl(fd, GET_PARAM, &wrong[2]), EINVAL);
  FAILS(ioctl(fd, GET_PARAM, NULL), EFAULT);
  FAILS(ioctl(fd, 0xc0106470, &p), EINVAL);
  FAILS(ioctl(fd, TIOCGWINSZ, &p), ENOTTY);
  FAILS(ioctl(-1, GET_PARAM, &p), EBADF);
  /* A driver's loop over domains ends only at an error or the end mark. */
  struct domain d = {0};
  int domains = 0;
  while (d.next != 0xff && !ioctl(fd, PM_QUERY_DOM, &d) && domains < 100) {
    domains++;
  }
  CHECK(domains == 8 && d.next == 0xff);
}

static uint32_t new_buffer(int fd, uint64_t size, uint8_t **memory) {
  struct gem_new n = {size, WRITE_COMBINE, 0};
  CHECK(!ioctl(fd, GEM_NEW, &n) && n.handle);
  struct gem_info i = {n.handle, 0, 0};
  CHECK(!ioctl(fd, GEM_INFO, &i));
  *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)i.offset);
  CHECK(*memory != MAP_FAILED);
  return n.handle;
}

static void buffers(int fd) {
  uint8_t *a, *b, *again;
  uint32_t first = new_buffer(fd, 8192, &a);
  uint32_t second = new_buffer(fd, 4096, &b);
  CHECK(first != second && !a[0] && !b[0]);
  a[0] = 1;
  a[8191] = 2;
  struct gem_info i = {first, 0, 0};
  CHECK(!ioctl(fd, GEM_INFO, &i));
  again = mmap64(NULL, 8192, PROT_READ, MAP_SHARED, fd, (off64_t)i.offset);
  CHECK(again[0] == 1 && again[8191] == 2 && !b[0]);
  CHECK(mmap(NULL, 12288, PROT_READ, MAP_SHARED, fd, (off_t)i.offset) == MAP_FAILED);
  CHECK(mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 1 << 30) == MAP_FAILED && errno == EINVAL);
  struct gem_new wrong = {4096, 0x1000000, 0};
  FAILS(ioctl(fd, GEM_NEW, &wrong), EINVAL);
  struct gem_info missing = {99, 0, 0};
  FAILS(ioctl(fd, GEM_INFO, &missing), ENOENT);
  uint32_t prepare[6] = {first, 3, 0, 0, 0, 0};
  CHECK(!ioctl(fd, GEM_CPU_PREP, prepare));
  uint32_t handle[2] = {second, 0};
  CHECK(!ioctl(fd, GEM_CLOSE, handle));
  FAILS(ioctl(fd, GEM_CLOSE, handle), EINVAL);
  CHECK(a[8191] == 2);
  munmap(a, 8192);
  munmap(b, 4096);
  munmap(again, 8192);
}

static void submits(int fd) {
  uint8_t *memory;
  struct bo bo[2] = {{3, new_buffer(fd, 4096, &memory), 0x500000}};
  uint32_t stream[4] = {0x18000000, 0, 0x18000000, 0}; /* nothing to do, twice */
  struct submit s = {.bos_count = 1, .bos = (uintptr_t)bo, .stream = (uintptr_t)stream,
                     .stream_size = sizeof stream, .flags = 8, .fence_fd = -1};
  CHECK(!ioctl(fd, GEM_SUBMIT, &s) && s.fence);
  struct wait w = {0, s.fence, 0, 0, 0, 0};
  CHECK(!ioctl(fd, WAIT_FENCE, &w));
  struct submit lost = s;
  lost.stream = 16;
  FAILS(ioctl(fd, GEM_SUBMIT, &lost), EFAULT);
  bo[1] = bo[0];
  struct submit twice = s;
  twice.bos_count = 2;
  FAILS(ioctl(fd, GEM_SUBMIT, &twice), EALREADY);
  struct submit odd = s;
  odd.stream_size = 6;
  FAILS(ioctl(fd, GEM_SUBMIT, &odd), EINVAL);
  bo[0].presumed = 0x1000;
  FAILS(ioctl(fd, GEM_SUBMIT, &s), EINVAL);
  munmap(memory, 4096);
}

/* ----------------------------------------------------------------------------------- sharing */

static void *ask_often(void *argument) {
  int fd = *(int *)argument;
  for (uint32_t i = 0; i < 200; i++) {
    struct param p = {0, i % 2 ? 1 : 0x1c, 0};
    CHECK(!ioctl(fd, GET_PARAM, &p) && p.value == (i % 2 ? 0x8000 : 0x45080009));
  }
  return NULL;
}

static void threads(int fd) {
  pthread_t thread[4];
  for (int i = 0; i < 4; i++) {
    pthread_create(&thread[i], NULL, ask_often, &fd);
  }
  for (int i = 0; i < 4; i++) {
    pthread_join(thread[i], NULL);
  }
}

static void duplicates(void) {
  int fd = open(NODE, O_RDWR);
  uint8_t *memory;
  uint32_t handle = new_buffer(fd, 4096, &memory);
  int second = dup(fd);
  int third = fcntl(fd, F_DUPFD_CLOEXEC, 50);
  close(fd);
  close(second);
  struct gem_info i = {handle, 0, 0};
  struct stat s;
  CHECK(!fstat(third, &s) && is_node(&s));
  CHECK(!ioctl(third, GEM_INFO, &i));
  /* The number may be something else's now. */
  CHECK(open("/dev/null", O_RDWR) == fd);
  FAILS(ioctl(fd, GEM_INFO, &i), ENOTTY);
  close(fd);
  close(third);
  memory[0] = 1; /* mappings stay */
  fd = open(NODE, O_RDWR);
  FAILS(ioctl(fd, GEM_INFO, &i), ENOENT);
  close(fd);
}

static void children(int fd, const char *self) {
  uint8_t *memory;
  uint32_t handle = new_buffer(fd, 4096, &memory);
  fflush(stdout);
  pid_t child = fork();
  if (!child) {
    failures = 0;
    memory[1] = 42;
    ask_often(&fd);
    char number[20], wanted[20];
    snprintf(number, sizeof number, "%d", fd);
    snprintf(wanted, sizeof wanted, "%u", handle);
    if (!failures) {
      execl(self, self, "inherited", number, wanted, NULL);
    }
    _exit(1);
  }
  ask_often(&fd);
  int status;
  waitpid(child, &status, 0);
  CHECK(WIFEXITED(status) && !WEXITSTATUS(status));
  CHECK(memory[1] == 42);
}

/* In a program that was started with the descriptor open. */
static void inherited(int fd, uint32_t handle) {
  struct gem_info i = {handle, 0, 0};
  CHECK(!ioctl(fd, GEM_INFO, &i));
  uint8_t *memory = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, (off_t)i.offset);
  CHECK(memory != MAP_FAILED && memory[1] == 42);
}

/* Two openings at once: buffers of the one can't be had by the other. */
static void strangers(void) {
  int one = open(NODE, O_RDWR), two = open(NODE, O_RDWR);
  uint8_t *secret, *other;
  struct gem_info i = {new_buffer(one, 4096, &secret), 0, 0};
  memset(secret, 7, 4096);
  CHECK(!ioctl(one, GEM_INFO, &i));
  FAILS(ioctl(two, GEM_INFO, &i), ENOENT);
  CHECK(mmap(NULL, 4096, PROT_READ, MAP_SHARED, two, (off_t)i.offset) == MAP_FAILED);
  new_buffer(two, 4096, &other);
  CHECK(!other[0]);
  close(one);
  close(two);
}

/* Whatever the number of descriptors in use, none is left open by a call. */
static void leaks(int fd) {
  int before = dup(fd);
  close(before);
  buffers(fd);
  identity(fd);
  int after = dup(fd);
  close(after);
  CHECK(before == after);
}

int main(int count, char **words) {
  if (count == 4 && !strcmp(words[1], "inherited")) {
    inherited(atoi(words[2]), (uint32_t)atoi(words[3]));
    return failures;
  }
  stats();
  directories();
  links();
  opens();
  int fd = open(NODE, O_RDWR);
  CHECK(fd >= 0);
  identity(fd);
  buffers(fd);
  submits(fd);
  threads(fd);
  duplicates();
  strangers();
  leaks(fd);
  children(fd, words[0]);
  printf("%d checks, %d failed\n", checks, failures);
  return failures;
}
