#include "objects.h"

#include <unistd.h>

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

bool q4_session_idle(const SessionObject *self) {
    if (self->busy == 0)
        return true;
    return q4_fail(self->busy == getpid() ? "another thread is in a decode call of this session"
                                          : "another thread was in a decode call of this session when the process "
                                            "was forked; its cache is half written: make a new session");
}
