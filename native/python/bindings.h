// The thin layer between CPython (limited API) and the core.
#ifndef Q4_BINDINGS_H
#define Q4_BINDINGS_H

#define PY_SSIZE_T_CLEAN
#ifndef Py_LIMITED_API
#define Py_LIMITED_API 0x030B0000
#endif
#include <Python.h>

extern PyMethodDef q4_constants_methods[];
extern PyMethodDef q4_counters_methods[];
extern PyMethodDef q4_gguf_methods[];
extern PyMethodDef q4_model_methods[];
extern PyMethodDef q4_probe_methods[];
extern PyMethodDef q4_quantize_methods[];
extern PyMethodDef q4_sampling_methods[];
extern PyMethodDef q4_truncation_methods[];

// Adds the types Model and Session; -1 with an exception on failure.
int q4_add_model_types(PyObject *module);
int q4_add_counters_type(PyObject *module); // Counters

#endif
