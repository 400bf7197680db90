// The Python objects that the bindings share.
#ifndef Q4_OBJECTS_H
#define Q4_OBJECTS_H

#include "bindings.h"

#include "../session.h"

typedef struct {
    PyObject_HEAD struct q4_model model;
    Py_buffer *held; // the tables' buffers
    size_t n_held;
} ModelObject;

extern PyType_Spec q4_model_spec;
extern PyTypeObject *q4_model_type;

// Sets ValueError, unless an exception is set already; false.
bool q4_fail(const char *message);
// Ends tp_dealloc of a heap type's instance.
void q4_free_object(PyObject *self);

#endif
