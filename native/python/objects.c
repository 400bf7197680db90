#include "objects.h"

#include <unistd.h>

bool q4_fail(const char *message) {
    if (!PyErr_Occurred())
        PyErr_SetString(PyExc_ValueError, message);
    return false;
}

static _Thread_local bool in_handler;

static bool signal_came(void *context) {
    struct q4_released *released = context;
    PyEval_RestoreThread(released->state);
    in_handler = true;
    pid_t process = getpid();
    bool came = PyErr_CheckSignals() < 0;
    if (!came && process != getpid()) {
        q4_fail("a signal's handler forked the process in the middle of this call, whose threads stayed behind");
        came = true;
    }
    in_handler = false;
    released->state = PyEval_SaveThread();
    return came;
}

void q4_release_gil(struct q4_released *released) {
    released->interrupt = (struct q4_interrupt){signal_came, released, 0};
    released->state = PyEval_SaveThread();
}

void q4_take_gil(struct q4_released *released) { PyEval_RestoreThread(released->state); }

bool q4_may_evaluate(void) {
    return !in_handler || q4_fail("a signal's handler that runs in the middle of a call can evaluate nothing itself");
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
