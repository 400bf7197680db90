#include "objects.h"

bool q4_fail(const char *message) {
    if (!PyErr_Occurred())
        PyErr_SetString(PyExc_ValueError, message);
    return false;
}

void q4_free_object(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}
