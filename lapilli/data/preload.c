/* Shows a program an NPU that exists only in another process. Preloaded by `lapilli emulate`.
 *
 * Nothing here knows the NPU. Two things are done for the program:
 *
 * Files. Paths under certain prefixes (/dev/dri, parts of /sys) are looked up in a directory tree
 * that the emulator has laid out. In it stands a plain file for the device node: its inode is how
 * the node is recognised, whatever way it is reached.
 *
 * Calls. Opening the node gives a socket connected to the emulator, so dup, fork, exec and close
 * need no care: the connection ends with its last descriptor, as an open file does. A descriptor is
 * known by its peer's name. Each ioctl sends one end of a fresh channel over the socket, and over
 * the channel the emulator reads and writes what the call's pointers lead to; so threads and forked
 * processes that share a descriptor never mix up their answers. mmap gets the memory the same way.
 *
 * For 64-bit Linux with glibc; both sides of the socket are on one machine, so bytes are in its
 * order.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <unistd.h>

#if __SIZEOF_POINTER__ != 8
#error "lapilli emulate runs 64-bit programs only"
#endif

#define EXPORT __attribute__((visibility("default")))
/* The function of this name that the program would have had without us. */
#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

/* ---------------------------------------------------------------------------------- settings */

/* LAPILLI_EMULATE_SOCKET: where the emulator listens. LAPILLI_EMULATE_TREE: its directory tree.
 * LAPILLI_EMULATE_PATHS: prefixes that are looked up there, one a line. LAPILLI_EMULATE_NODE: the
 * device node, as MAJOR MINOR PATH. */
static struct {
  struct sockaddr_un server;
  char tree[PATH_MAX];
  char paths[PATH_MAX];
  unsigned major, minor;
  dev_t device;
  ino_t inode;
  int ready;
} settings;

static void take(char *to, size_t size, const char *name) {
  const char *value = getenv(name);
  snprintf(to, size, "%s", value ? value : "");
}

/* Run before main, or earlier by another library's constructor that calls us. */
__attribute__((constructor)) static void read_settings(void) {
  char node[PATH_MAX] = "", place[2 * PATH_MAX];
  if (settings.ready) {
    return;
  }
  settings.ready = 1;
  const char *text = getenv("LAPILLI_EMULATE_NODE");
  struct stat found;
  settings.server.sun_family = AF_UNIX;
  take(settings.server.sun_path, sizeof settings.server.sun_path, "LAPILLI_EMULATE_SOCKET");
  take(settings.tree, sizeof settings.tree, "LAPILLI_EMULATE_TREE");
  if (!text || sscanf(text, "%u %u %4095[^\n]", &settings.major, &settings.minor, node) != 3) {
    return;
  }
  snprintf(place, sizeof place, "%s%s", settings.tree, node);
  if (syscall(SYS_newfstatat, AT_FDCWD, place, &found, 0)) {
    return;
  }
  settings.device = found.st_dev;
  settings.inode = found.st_ino;
  /* Last: without prefixes nothing is looked up in the tree. */
  take(settings.paths, sizeof settings.paths, "LAPILLI_EMULATE_PATHS");
}

/* ------------------------------------------------------------------------------------- paths */

/* Whether path is prefix[0..length) or lies below it. */
static int is_below(const char *path, const char *prefix, size_t length) {
  return !strncmp(path, prefix, length) && (path[length] == '/' || !path[length]);
}

/* The path to use instead of path: itself, or one in the tree, written to place[PATH_MAX]. */
static const char *redirected(const char *path, char *place) {
  read_settings();
  if (!path || *path != '/') {
    return path;
  }
  for (const char *at = settings.paths; *at;) {
    size_t length = strcspn(at, "\n");
    if (is_below(path, at, length)) {
      int used = snprintf(place, PATH_MAX, "%s%s", settings.tree, path);
      return used < PATH_MAX ? place : path;
    }
    at += length + (at[length] == '\n');
  }
  return path;
}

/* --------------------------------------------------------------------------------- the socket */

enum { IOCTL = 1, MAP, READ, WRITE, DONE };

/* What goes over a channel. From here: IOCTL (request, bytes of the argument that follow; those
 * come from `address`) and MAP (length, offset). From the emulator, any number of READ and WRITE
 * (address, bytes) and then DONE (result or negative errno; a descriptor comes along for MAP). */
struct Message {
  uint64_t kind, first, second, address;
};

/* Whether a descriptor is a connection to the emulator. Leaves errno as it is. */
static int is_ours(int descriptor) {
  struct sockaddr_un peer = {0};
  socklen_t length = sizeof peer;
  int before = errno;
  read_settings();
  int known = descriptor >= 0 && *settings.server.sun_path &&
              !getpeername(descriptor, (struct sockaddr *)&peer, &length) &&
              peer.sun_family == AF_UNIX &&
              !strncmp(peer.sun_path, settings.server.sun_path, sizeof peer.sun_path);
  errno = before;
  return known;
}

/* A descriptor for the node: a connection. */
static int open_node(int flags) {
  int kind = SOCK_SEQPACKET | (flags & O_CLOEXEC ? SOCK_CLOEXEC : 0);
  int descriptor = socket(AF_UNIX, kind, 0);
  if (descriptor < 0) {
    return -1;
  }
  if (connect(descriptor, (struct sockaddr *)&settings.server, sizeof settings.server)) {
    close(descriptor);
    errno = ENXIO;
    return -1;
  }
  return descriptor;
}

static int send_all(int channel, const void *bytes, size_t size) {
  for (size_t done = 0; done < size;) {
    ssize_t sent = send(channel, (const char *)bytes + done, size - done, MSG_NOSIGNAL);
    if (sent < 0 && errno != EINTR) {
      return -1;
    }
    done += sent > 0 ? (size_t)sent : 0;
  }
  return 0;
}

static int receive_all(int channel, void *bytes, size_t size) {
  for (size_t done = 0; done < size;) {
    ssize_t got = recv(channel, (char *)bytes + done, size - done, 0);
    if (!got || (got < 0 && errno != EINTR)) {
      errno = got ? errno : ENODEV;
      return -1;
    }
    done += got > 0 ? (size_t)got : 0;
  }
  return 0;
}

/* Room for one descriptor that is passed along with a message. */
union Passed {
  char bytes[CMSG_SPACE(sizeof(int))];
  struct cmsghdr aligned;
};

/* Sends one byte and a descriptor. */
static int pass_descriptor(int connection, int descriptor) {
  char byte = 0;
  union Passed room = {{0}};
  struct iovec data = {&byte, 1};
  struct msghdr message = {.msg_iov = &data,
                           .msg_iovlen = 1,
                           .msg_control = room.bytes,
                           .msg_controllen = sizeof room.bytes};
  struct cmsghdr *header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof descriptor);
  memcpy(CMSG_DATA(header), &descriptor, sizeof descriptor);
  ssize_t sent;
  do {
    sent = sendmsg(connection, &message, MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  return sent < 0 ? -1 : 0;
}

/* Receives a message, and into *descriptor what was passed with it. */
static int receive_message(int channel, struct Message *message, int *descriptor) {
  union Passed room = {{0}};
  struct iovec data = {message, sizeof *message};
  struct msghdr header = {.msg_iov = &data,
                          .msg_iovlen = 1,
                          .msg_control = room.bytes,
                          .msg_controllen = sizeof room.bytes};
  ssize_t got;
  do {
    got = recvmsg(channel, &header, MSG_CMSG_CLOEXEC);
  } while (got < 0 && errno == EINTR);
  if (got <= 0) {
    errno = ENODEV;
    return -1;
  }
  struct cmsghdr *passed = CMSG_FIRSTHDR(&header);
  if (passed && passed->cmsg_type == SCM_RIGHTS) {
    memcpy(descriptor, CMSG_DATA(passed), sizeof *descriptor);
  }
  return receive_all(channel, (char *)message + got, sizeof *message - (size_t)got);
}

/* A fresh channel to the emulator, which gets the other end; -1 if there is none any more. */
static int open_channel(int connection) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends)) {
    return -1;
  }
  int failed = pass_descriptor(connection, ends[1]);
  close(ends[1]);
  if (failed) {
    close(ends[0]);
    errno = ENODEV;
    return -1;
  }
  return ends[0];
}

/* Serves the emulator's wishes until the call is done; returns its result, or -1 with errno set. A
 * bad pointer makes send or recv fail with EFAULT, as the kernel's own copying does; the emulator
 * then finds the channel closed. */
static int64_t serve(int channel, int *descriptor) {
  struct Message wish;
  while (!receive_message(channel, &wish, descriptor)) {
    void *memory = (void *)(uintptr_t)wish.first;
    if (wish.kind == DONE) {
      int64_t result = (int64_t)wish.first;
      if (result < 0) {
        errno = (int)-result;
        return -1;
      }
      return result;
    }
    if (wish.kind == READ ? send_all(channel, memory, wish.second)
                          : receive_all(channel, memory, wish.second)) {
      return -1;
    }
  }
  return -1;
}

/* One call: message, what its address leads to (`size` bytes), the answer. */
static int64_t call(int connection, struct Message message, size_t size, int *descriptor) {
  int before = errno;
  int channel = open_channel(connection);
  if (channel < 0) {
    return -1;
  }
  int64_t result = -1;
  if (!send_all(channel, &message, sizeof message) &&
      !send_all(channel, (void *)(uintptr_t)message.address, size)) {
    result = serve(channel, descriptor);
  }
  int after = result < 0 ? errno : before;
  close(channel);
  errno = after == EPIPE || after == ECONNRESET ? ENODEV : after;
  return result;
}

/* -------------------------------------------------------------------------------- ioctl, mmap */

EXPORT int ioctl(int descriptor, unsigned long request, ...) {
  va_list arguments;
  va_start(arguments, request);
  void *argument = va_arg(arguments, void *);
  va_end(arguments);
  /* 'd' is DRM's letter; everything else is a question about sockets, files or terminals. */
  if (_IOC_TYPE(request) != 'd' || !is_ours(descriptor)) {
    return (int)syscall(SYS_ioctl, descriptor, request, argument);
  }
  uint32_t number = (uint32_t)request;
  size_t size = _IOC_DIR(number) & _IOC_WRITE ? _IOC_SIZE(number) : 0;
  struct Message message = {IOCTL, number, size, (uintptr_t)argument};
  int none = -1;
  return (int)call(descriptor, message, size, &none);
}

EXPORT void *mmap(void *where, size_t length, int protection, int flags, int descriptor,
                  off_t offset) {
  if (flags & MAP_ANONYMOUS || !is_ours(descriptor)) {
    return (void *)syscall(SYS_mmap, where, length, protection, flags, descriptor, offset);
  }
  struct Message message = {MAP, length, (uint64_t)offset, 0};
  int memory = -1;
  int64_t place = call(descriptor, message, 0, &memory);
  if (place < 0) {
    return MAP_FAILED;
  }
  void *mapped = (void *)syscall(SYS_mmap, where, length, protection, flags, memory, place);
  int before = errno;
  close(memory);
  errno = before;
  return mapped;
}

EXPORT void *mmap64(void *where, size_t length, int protection, int flags, int descriptor,
                    off64_t offset) {
  return mmap(where, length, protection, flags, descriptor, offset);
}

/* --------------------------------------------------------------------------------------- stat */

static int is_node(const struct stat *found) {
  return *settings.paths && found->st_ino == settings.inode && found->st_dev == settings.device;
}

static void show_node(struct stat *found) {
  found->st_mode = S_IFCHR | 0660;
  found->st_rdev = makedev(settings.major, settings.minor);
  found->st_size = 0;
  found->st_blocks = 0;
}

static int stat_at(int directory, const char *path, struct stat *found, int flags) {
  char place[PATH_MAX];
  int result = (int)syscall(SYS_newfstatat, directory, redirected(path, place), found, flags);
  int itself = flags & AT_EMPTY_PATH && path && !*path;
  if (!result && (is_node(found) ||
                  (itself && S_ISSOCK(found->st_mode) && is_ours(directory)))) {
    show_node(found);
  }
  return result;
}

EXPORT int stat(const char *path, struct stat *found) {
  return stat_at(AT_FDCWD, path, found, 0);
}

EXPORT int lstat(const char *path, struct stat *found) {
  return stat_at(AT_FDCWD, path, found, AT_SYMLINK_NOFOLLOW);
}

EXPORT int fstat(int descriptor, struct stat *found) {
  return stat_at(descriptor, "", found, AT_EMPTY_PATH);
}

EXPORT int fstatat(int directory, const char *path, struct stat *found, int flags) {
  return stat_at(directory, path, found, flags);
}

/* On 64-bit machines the two structures are one. */
EXPORT int stat64(const char *path, struct stat64 *found) {
  return stat(path, (struct stat *)found);
}

EXPORT int lstat64(const char *path, struct stat64 *found) {
  return lstat(path, (struct stat *)found);
}

EXPORT int fstat64(int descriptor, struct stat64 *found) {
  return fstat(descriptor, (struct stat *)found);
}

EXPORT int fstatat64(int directory, const char *path, struct stat64 *found, int flags) {
  return stat_at(directory, path, (struct stat *)found, flags);
}

/* Programs built with a C library before 2.33 call these. */
EXPORT int __xstat(int version, const char *path, struct stat *found) {
  (void)version;
  return stat(path, found);
}

EXPORT int __lxstat(int version, const char *path, struct stat *found) {
  (void)version;
  return lstat(path, found);
}

EXPORT int __fxstat(int version, int descriptor, struct stat *found) {
  (void)version;
  return fstat(descriptor, found);
}

EXPORT int __fxstatat(int version, int directory, const char *path, struct stat *found,
                      int flags) {
  (void)version;
  return stat_at(directory, path, found, flags);
}

EXPORT int __xstat64(int version, const char *path, struct stat64 *found) {
  return __xstat(version, path, (struct stat *)found);
}

EXPORT int __lxstat64(int version, const char *path, struct stat64 *found) {
  return __lxstat(version, path, (struct stat *)found);
}

EXPORT int __fxstat64(int version, int descriptor, struct stat64 *found) {
  return __fxstat(version, descriptor, (struct stat *)found);
}

EXPORT int __fxstatat64(int version, int directory, const char *path, struct stat64 *found,
                        int flags) {
  return __fxstatat(version, directory, path, (struct stat *)found, flags);
}

EXPORT int statx(int directory, const char *path, int flags, unsigned mask, struct statx *found) {
  char place[PATH_MAX];
  struct stat plain;
  const char *where = redirected(path, place);
  int result = (int)syscall(SYS_statx, directory, where, flags, mask, found);
  int follow = flags & (AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH);
  if (!result && !stat_at(directory, where, &plain, follow) && S_ISCHR(plain.st_mode)) {
    found->stx_mode = (uint16_t)plain.st_mode;
    found->stx_rdev_major = major(plain.st_rdev);
    found->stx_rdev_minor = minor(plain.st_rdev);
    found->stx_size = 0;
    found->stx_blocks = 0;
  }
  return result;
}

/* --------------------------------------------------------------------------------------- open */

static int open_at(int directory, const char *path, int flags, mode_t mode) {
  char place[PATH_MAX];
  const char *where = redirected(path, place);
  int opened = (int)syscall(SYS_openat, directory, where, flags, mode);
  int reached = where != path || (path && *path != '/');
  struct stat found;
  if (opened < 0 || !reached || flags & O_PATH ||
      syscall(SYS_newfstatat, opened, "", &found, AT_EMPTY_PATH) || !is_node(&found)) {
    return opened;
  }
  close(opened);
  return open_node(flags);
}

/* The third or fourth argument of open, which is there only if a file may be made. */
#define TAKE_MODE(last, flags, mode)                     \
  mode_t mode = 0;                                       \
  if ((flags) & (O_CREAT | (O_TMPFILE & ~O_DIRECTORY))) { \
    va_list arguments;                                   \
    va_start(arguments, last);                           \
    mode = va_arg(arguments, mode_t);                    \
    va_end(arguments);                                   \
  }

EXPORT int open(const char *path, int flags, ...) {
  TAKE_MODE(flags, flags, mode)
  return open_at(AT_FDCWD, path, flags, mode);
}

EXPORT int open64(const char *path, int flags, ...) {
  TAKE_MODE(flags, flags, mode)
  return open_at(AT_FDCWD, path, flags, mode);
}

EXPORT int openat(int directory, const char *path, int flags, ...) {
  TAKE_MODE(flags, flags, mode)
  return open_at(directory, path, flags, mode);
}

EXPORT int openat64(int directory, const char *path, int flags, ...) {
  TAKE_MODE(flags, flags, mode)
  return open_at(directory, path, flags, mode);
}

/* With -D_FORTIFY_SOURCE the compiler calls these. */
EXPORT int __open_2(const char *path, int flags) {
  return open_at(AT_FDCWD, path, flags, 0);
}

EXPORT int __open64_2(const char *path, int flags) {
  return open_at(AT_FDCWD, path, flags, 0);
}

EXPORT int __openat_2(int directory, const char *path, int flags) {
  return open_at(directory, path, flags, 0);
}

EXPORT int __openat64_2(int directory, const char *path, int flags) {
  return open_at(directory, path, flags, 0);
}

/* -------------------------------------------------------- other functions that take a path */

EXPORT FILE *fopen(const char *path, const char *mode) {
  char place[PATH_MAX];
  return NEXT(fopen)(redirected(path, place), mode);
}

EXPORT FILE *fopen64(const char *path, const char *mode) {
  char place[PATH_MAX];
  return NEXT(fopen64)(redirected(path, place), mode);
}

EXPORT DIR *opendir(const char *path) {
  char place[PATH_MAX];
  return NEXT(opendir)(redirected(path, place));
}

EXPORT int scandir(const char *path, struct dirent ***list,
                   int (*filter)(const struct dirent *),
                   int (*compare)(const struct dirent **, const struct dirent **)) {
  char place[PATH_MAX];
  return NEXT(scandir)(redirected(path, place), list, filter, compare);
}

EXPORT int scandir64(const char *path, struct dirent64 ***list,
                     int (*filter)(const struct dirent64 *),
                     int (*compare)(const struct dirent64 **, const struct dirent64 **)) {
  char place[PATH_MAX];
  return NEXT(scandir64)(redirected(path, place), list, filter, compare);
}

EXPORT int access(const char *path, int mode) {
  char place[PATH_MAX];
  return NEXT(access)(redirected(path, place), mode);
}

EXPORT int euidaccess(const char *path, int mode) {
  char place[PATH_MAX];
  return NEXT(euidaccess)(redirected(path, place), mode);
}

EXPORT int eaccess(const char *path, int mode) {
  return euidaccess(path, mode);
}

EXPORT int faccessat(int directory, const char *path, int mode, int flags) {
  char place[PATH_MAX];
  return NEXT(faccessat)(directory, redirected(path, place), mode, flags);
}

/* `ls -l` asks for access control lists. */
EXPORT ssize_t getxattr(const char *path, const char *name, void *value, size_t size) {
  char place[PATH_MAX];
  return syscall(SYS_getxattr, redirected(path, place), name, value, size);
}

EXPORT ssize_t lgetxattr(const char *path, const char *name, void *value, size_t size) {
  char place[PATH_MAX];
  return syscall(SYS_lgetxattr, redirected(path, place), name, value, size);
}

EXPORT ssize_t readlinkat(int directory, const char *path, char *target, size_t size) {
  char place[PATH_MAX];
  return syscall(SYS_readlinkat, directory, redirected(path, place), target, size);
}

EXPORT ssize_t readlink(const char *path, char *target, size_t size) {
  return readlinkat(AT_FDCWD, path, target, size);
}

EXPORT ssize_t __readlink_chk(const char *path, char *target, size_t size, size_t room) {
  return readlinkat(AT_FDCWD, path, target, size < room ? size : room);
}

EXPORT ssize_t __readlinkat_chk(int directory, const char *path, char *target, size_t size,
                                size_t room) {
  return readlinkat(directory, path, target, size < room ? size : room);
}

/* What was found in the tree is named as if it were found outside. */
EXPORT char *realpath(const char *path, char *resolved) {
  char place[PATH_MAX];
  const char *where = redirected(path, place);
  char *found = NEXT(realpath)(where, resolved);
  size_t length = strlen(settings.tree);
  if (found && where != path && is_below(found, settings.tree, length)) {
    memmove(found, found + length, strlen(found + length) + 1);
  }
  return found;
}

EXPORT char *__realpath_chk(const char *path, char *resolved, size_t room) {
  (void)room;
  return realpath(path, resolved);
}

EXPORT char *canonicalize_file_name(const char *path) {
  return realpath(path, NULL);
}
