// The Python objects that the bindings share.
#ifndef Q4_OBJECTS_H
#define Q4_OBJECTS_H

#include "bindings.h"

#include "../session.h"

#include <sys/types.h>

typedef struct {
    PyObject_HEAD struct q4_model model;
    struct q4_held *held; // the tables' buffers
} ModelObject;

typedef struct {
    PyObject_HEAD struct q4_session session;
    PyObject *model;
    pid_t busy; // the process that runs a call without the GIL, or 0
} SessionObject;

struct q4_module_state {
    PyTypeObject *model_type;
};

extern PyType_Spec q4_model_type_spec;

// Methods of Session that are about recording (recording.c).
extern const char q4_session_record_doc[], q4_session_select_doc[], q4_session_recorded_doc[], q4_session_cost_doc[],
    q4_session_remind_doc[];
PyObject *q4_session_record(PyObject *self, PyObject *args);
PyObject *q4_session_select(PyObject *self, PyObject *args);
PyObject *q4_session_remind(PyObject *self, PyObject *args);
PyObject *q4_session_recorded(PyObject *self, PyObject *unused);
PyObject *q4_session_cost(PyObject *self, PyObject *unused);

// Groups of events as Python gives them, [[(type, config, exclude_kernel), …], …]: *n of them, which the caller frees.
bool q4_parse_groups(PyObject *list, struct q4_pmu_group **groups, size_t *n);
// Sets OSError; it names the thread and the event where tids says which threads they were.
void q4_raise_refusal(const struct q4_pmu_refusal *refusal, const int *tids);

// Whether no call is running; else false with an exception. For methods that change what a call works with.
bool q4_session_idle(const SessionObject *self);

// Sets ValueError, unless an exception is set already; false.
bool q4_fail(const char *message);
// Lets go of the GIL for work that a signal's handler may end by raising: `interrupt` is for it, whose exception is
// then set. The handler runs in the middle of the work, and can evaluate nothing with that model.
struct q4_released {
    PyThreadState *state;
    struct q4_interrupt interrupt;
};
void q4_release_gil(struct q4_released *released);
void q4_take_gil(struct q4_released *released);
// False with an exception in such a handler.
bool q4_may_evaluate(void);
// Ends tp_dealloc of a heap type's instance.
void q4_free_object(PyObject *self);

#endif
