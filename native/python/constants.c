// The numbers that C and Python share, by name: tests/unit/test_native_constants.py holds Python's own against them.
#include "bindings.h"

#include "../plan.h"
#include "../recorder.h"

struct number {
    const char *name; // NULL: the end
    long value;
};

static const struct number phases[] = {
    {"none", Q4_PHASE_NONE},
    {"prefill", Q4_PHASE_PREFILL},
    {"decode", Q4_PHASE_DECODE},
    {"verify", Q4_PHASE_VERIFY},
    {NULL, 0},
};

static const struct number levels[] = {
    {"off", Q4_RECORD_NOTHING},
    {"calls", Q4_RECORD_CALLS},
    {"operations", Q4_RECORD_OPERATIONS},
    {"counted_operations", Q4_RECORD_ALL_OPERATIONS},
    {NULL, 0},
};

static const struct number thread_facts[] = {
    {"tid", Q4_FACT_TID},
    {"first_cpu", Q4_FACT_FIRST_CPU},
    {"last_cpu", Q4_FACT_LAST_CPU},
    {"page_faults", Q4_FACT_PAGE_FAULTS},
    {"context_switches", Q4_FACT_CONTEXT_SWITCHES},
    {NULL, 0},
};

static const struct number counters[] = {
    {"head_words", Q4_PMU_HEAD_WORDS},
    {"most_groups", Q4_PMU_MAX_GROUPS},
    {"most_events", Q4_PMU_MAX_EVENTS},
    {NULL, 0},
};

static const struct number rope_styles[] = {
    {"norm", Q4_ROPE_NORM},
    {"neox", Q4_ROPE_NEOX},
    {NULL, 0},
};

static const struct number activations[] = {
    {"silu", Q4_ACTIVATION_SILU},
    {"gelu", Q4_ACTIVATION_GELU},
    {NULL, 0},
};

static const struct {
    const char *name;
    const struct number *numbers;
} families[] = {
    {"rope_styles", rope_styles}, {"activations", activations},   {"phases", phases},
    {"levels", levels},           {"thread_facts", thread_facts}, {"counters", counters},
};

static int put_number(PyObject *dict, const struct number *number) {
    PyObject *value = PyLong_FromLong(number->value);
    int status = value ? PyDict_SetItemString(dict, number->name, value) : -1;
    Py_XDECREF(value);
    return status;
}

PyDoc_STRVAR(constants_doc, "constants() -> dict[str, dict[str, int]]\n\n"
                            "The numbers of phases, levels, …: family -> name -> number.");

static PyObject *constants(PyObject *module, PyObject *unused) {
    (void)module, (void)unused;
    PyObject *all = PyDict_New();
    for (size_t i = 0; all && i < sizeof families / sizeof *families; i++) {
        PyObject *family = PyDict_New();
        int status = family ? PyDict_SetItemString(all, families[i].name, family) : -1;
        for (const struct number *n = families[i].numbers; status == 0 && n->name; n++)
            status = put_number(family, n);
        Py_XDECREF(family);
        if (status != 0)
            Py_CLEAR(all);
    }
    return all;
}

PyMethodDef q4_constants_methods[] = {
    {"constants", constants, METH_NOARGS, constants_doc},
    {NULL, NULL, 0, NULL},
};
