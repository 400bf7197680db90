#include "objects.h"

#include "../cpu.h"

PyDoc_STRVAR(cpu_features_doc,
             "cpu_features(list=None, /) -> list[str]\n\n"
             "Names of the CPU features that kernels may use.\n"
             "`list` is read as the environment variable Q4_CPU_FEATURES is. ValueError on a bad list.");

static PyObject *cpu_features(PyObject *self, PyObject *args) {
    (void)self;
    const char *list = NULL;
    if (!PyArg_ParseTuple(args, "|z", &list))
        return NULL;
    uint32_t features;
    char message[320];
    if (!q4_cpu_select(list, &features, message, sizeof message)) {
        PyErr_SetString(PyExc_ValueError, message);
        return NULL;
    }
    PyObject *names = PyList_New(0);
    for (int i = 0; names && i < Q4_CPU_N_FEATURES; i++) {
        if (!(features & 1u << i))
            continue;
        PyObject *name = PyUnicode_FromString(q4_cpu_feature_names[i]);
        if (name == NULL || PyList_Append(names, name) < 0)
            Py_CLEAR(names);
        Py_XDECREF(name);
    }
    return names;
}

static PyMethodDef module_methods[] = {
    {"cpu_features", cpu_features, METH_VARARGS, cpu_features_doc},
    {NULL, NULL, 0, NULL},
};

static PyMethodDef *const method_tables[] = {
    q4_constants_methods, q4_counters_methods, q4_gguf_methods,     q4_model_methods,
    q4_probe_methods,     q4_quantize_methods, q4_sampling_methods, q4_truncation_methods,
};

static int module_exec(PyObject *module) { // once for every import, each with types of its own
    for (size_t i = 0; i < sizeof method_tables / sizeof *method_tables; i++)
        if (PyModule_AddFunctions(module, method_tables[i]) < 0)
            return -1;
    return q4_add_model_types(module) == 0 ? q4_add_counters_type(module) : -1;
}

static int module_traverse(PyObject *module, visitproc visit, void *arg) {
    const struct q4_module_state *state = PyModule_GetState(module);
    Py_VISIT(state->model_type);
    return 0;
}

static int module_clear(PyObject *module) {
    struct q4_module_state *state = PyModule_GetState(module);
    Py_CLEAR(state->model_type);
    return 0;
}

static void module_free(void *module) { module_clear(module); }

// Of Python 3.12, which the limited API of 3.11 does not name: the module has no state beyond the interpreter's own.
#define PY_MOD_MULTIPLE_INTERPRETERS 3
#define PY_MOD_PER_INTERPRETER_GIL ((void *)2)

static PyModuleDef_Slot module_slots[] = {
    {Py_mod_exec, (void *)module_exec},
    {PY_MOD_MULTIPLE_INTERPRETERS, PY_MOD_PER_INTERPRETER_GIL},
    {0, NULL},
};
static PyModuleDef_Slot module_slots_3_11[] = {
    {Py_mod_exec, (void *)module_exec},
    {0, NULL},
};

static struct PyModuleDef module_definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "q4engine._native",
    .m_doc = "Kernels and executor of q4engine.",
    .m_size = sizeof(struct q4_module_state),
    .m_methods = module_methods,
    .m_slots = module_slots,
    .m_traverse = module_traverse,
    .m_clear = module_clear,
    .m_free = module_free,
};

PyMODINIT_FUNC PyInit__native(void);
PyMODINIT_FUNC PyInit__native(void) {
    if (Py_Version < 0x030C0000)
        module_definition.m_slots = module_slots_3_11;
    return PyModuleDef_Init(&module_definition);
}
