// A file that somebody cuts short while it is mapped: reading what is gone raises SIGBUS. Nothing can be computed from
// then on, but the process can say why it ends.
#define _GNU_SOURCE // sigaction
#include "bindings.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

enum { MOST_BYTES = 4096 };

static char message[MOST_BYTES];
static volatile sig_atomic_t length;

static void end_with_message(int number, siginfo_t *info, void *context) {
    (void)context;
    if (info->si_code == BUS_ADRERR && length > 0) {
        ssize_t written = write(STDERR_FILENO, message, (size_t)length);
        (void)written; // to a closed stderr nothing can be said
        _exit(1);
    }
    signal(number, SIG_DFL); // some other cause: the instruction runs again and ends the process as ever
}

PyDoc_STRVAR(
    tell_of_truncation_doc,
    "tell_of_truncation(line, /) -> None\n\n"
    "From now on a read beyond the end of a mapped file writes `line` (bytes, at most 4096) to stderr and ends\n"
    "the process with exit code 1. An empty line leaves it to SIGBUS. ValueError on a longer one.");

static PyObject *tell_of_truncation(PyObject *self, PyObject *args) {
    (void)self;
    const char *line;
    Py_ssize_t size;
    if (!PyArg_ParseTuple(args, "y#", &line, &size))
        return NULL;
    if (size > MOST_BYTES) {
        PyErr_SetString(PyExc_ValueError, "the line is longer than 4096 bytes");
        return NULL;
    }
    struct sigaction action = {.sa_sigaction = end_with_message, .sa_flags = SA_SIGINFO};
    length = 0; // never half a message
    memcpy(message, line, (size_t)size);
    length = (sig_atomic_t)size;
    if (size > 0)
        sigaction(SIGBUS, &action, NULL);
    else
        signal(SIGBUS, SIG_DFL);
    Py_RETURN_NONE;
}

PyMethodDef q4_truncation_methods[] = {
    {"tell_of_truncation", tell_of_truncation, METH_VARARGS, tell_of_truncation_doc},
    {NULL, NULL, 0, NULL},
};
