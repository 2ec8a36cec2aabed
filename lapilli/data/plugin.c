/* The delegate for programs that load delegates as shared libraries (benchmark_model, label_image,
 * load_delegate, cameras): starts the installed Python if the process has none, and hands on the
 * TfLiteDelegate that lapilli.litert.plugin makes.
 *
 * Built at first use by lapilli/plugin_build.py, which defines PYTHON_PATHS (directories for
 * sys.path, separated by newlines) and LIBPYTHON (Python's own library, or ""). Python's functions are declared here
 * because its headers need not be installed.
 */
#define _GNU_SOURCE /* RTLD_DEFAULT */
#include <dlfcn.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef void Object;

extern int Py_IsInitialized(void);
extern void Py_InitializeEx(int signal_handlers);
extern int PyGILState_Ensure(void);
extern void PyGILState_Release(int state);
extern void *PyEval_SaveThread(void);
extern Object *PyImport_ImportModule(const char *name);
extern Object *PyObject_CallMethod(Object *object, const char *name, const char *format, ...);
extern Object *PyObject_Str(Object *object);
extern Object *PyDict_New(void);
extern int PyDict_SetItemString(Object *dict, const char *key, Object *value);
extern Object *PyUnicode_FromString(const char *text);
extern Object *PyUnicode_DecodeFSDefault(const char *text);
extern const char *PyUnicode_AsUTF8(Object *text);
extern Object *PySys_GetObject(const char *name);
extern int PyList_Insert(Object *list, long index, Object *item);
extern void *PyLong_AsVoidPtr(Object *number);
extern void PyErr_Fetch(Object **type, Object **value, Object **trace);
extern void PyErr_Clear(void);
extern void Py_DecRef(Object *object);

typedef void (*ReportError)(const char *);

/* Delegates that are alive; guarded by Python's global lock. */
struct Entry {
  void *delegate;
  Object *owner;
  struct Entry *next;
};
static struct Entry *entries;

/* To the standard error in any case: programs that run a model on the CPU when there is no delegate
 * (benchmark_model, label_image, NNStreamer) drop what is reported to them. */
static void tell(ReportError report, const char *text) {
  fprintf(stderr, "lapilli: %s\n", text);
  if (report) {
    report(text);
  }
}

/* Passes on the pending Python exception's text. */
static void tell_exception(ReportError report) {
  Object *type = NULL, *value = NULL, *trace = NULL;
  PyErr_Fetch(&type, &value, &trace);
  Object *text = value ? PyObject_Str(value) : NULL;
  const char *utf8 = text ? PyUnicode_AsUTF8(text) : NULL;
  tell(report, utf8 ? utf8 : "Python failed without saying why");
  PyErr_Clear();
  Py_DecRef(text);
  Py_DecRef(type);
  Py_DecRef(value);
  Py_DecRef(trace);
}

/* Starts Python in a process that has none, with the installing interpreter's module paths. */
static void start_python(void) {
  if (Py_IsInitialized()) {
    return;
  }
  /* Python's extension modules look for its functions among the process's global symbols. */
  if (*LIBPYTHON) {
    dlopen(LIBPYTHON, RTLD_NOW | RTLD_GLOBAL);
  }
  /* File names are bytes, whatever the program's locale: in C's, Python takes them for ASCII and
   * doesn't find modules below a folder with another name. Later Pythons have the mode anyway. */
  int *utf8_mode = dlsym(RTLD_DEFAULT, "Py_UTF8Mode");
  if (utf8_mode) {
    *utf8_mode = 1;
  }
  Py_InitializeEx(0);
  Object *path = PySys_GetObject("path");
  const char *at = PYTHON_PATHS;
  for (long index = 0; path && *at; index++) {
    size_t length = strcspn(at, "\n");
    char *one = malloc(length + 1);
    if (!one) {
      break;
    }
    memcpy(one, at, length);
    one[length] = 0;
    Object *item = PyUnicode_DecodeFSDefault(one);
    free(one);
    if (!item || PyList_Insert(path, index, item)) {
      PyErr_Clear();
    }
    Py_DecRef(item);
    at += length + (at[length] == '\n');
  }
  PyEval_SaveThread();
}

static Object *options_dict(char **keys, char **values, size_t count) {
  Object *options = PyDict_New();
  for (size_t i = 0; options && i < count; i++) {
    Object *value = PyUnicode_FromString(values[i]);
    if (!value || PyDict_SetItemString(options, keys[i], value)) {
      Py_DecRef(value);
      Py_DecRef(options);
      return NULL;
    }
    Py_DecRef(value);
  }
  return options;
}

static void *create(char **keys, char **values, size_t count) {
  void *delegate = NULL;
  Object *address = NULL, *owner = NULL;
  Object *options = options_dict(keys, values, count);
  Object *module = options ? PyImport_ImportModule("lapilli.litert.plugin") : NULL;
  struct Entry *entry = malloc(sizeof *entry);
  if (module && entry) {
    owner = PyObject_CallMethod(module, "create", "O", options);
    address = owner ? PyObject_CallMethod(owner, "_get_native_delegate_pointer", NULL) : NULL;
    delegate = address ? PyLong_AsVoidPtr(address) : NULL;
  }
  Py_DecRef(address);
  Py_DecRef(module);
  Py_DecRef(options);
  if (!delegate) {
    Py_DecRef(owner);
    free(entry);
    return NULL;
  }
  *entry = (struct Entry){delegate, owner, entries};
  entries = entry;
  return delegate;
}

void *tflite_plugin_create_delegate(char **keys, char **values, size_t count, ReportError report) {
  start_python();
  int state = PyGILState_Ensure();
  void *delegate = create(keys, values, count);
  if (!delegate) {
    tell_exception(report);
  }
  PyGILState_Release(state);
  return delegate;
}

void tflite_plugin_destroy_delegate(void *delegate) {
  if (!delegate || !Py_IsInitialized()) {
    return;
  }
  int state = PyGILState_Ensure();
  for (struct Entry **at = &entries; *at; at = &(*at)->next) {
    if ((*at)->delegate == delegate) {
      struct Entry *found = *at;
      *at = found->next;
      Object *closed = PyObject_CallMethod(found->owner, "close", NULL);
      if (!closed) {
        tell_exception(NULL);
      }
      Py_DecRef(closed);
      Py_DecRef(found->owner);
      free(found);
      break;
    }
  }
  PyGILState_Release(state);
}
