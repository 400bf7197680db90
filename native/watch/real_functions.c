#define _GNU_SOURCE
#include "real_functions.h"

#include <dlfcn.h>
#include <link.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define MAX_OBJECTS 512
#define MAX_FOUND 256

struct object {
    uintptr_t low, high;
    char path[1024]; // "": the program itself
};

// ---- the objects of the process -----------------------------------------------------------------

struct search {
    uintptr_t address; // looked for, or 0
    const char *part;  // of a path, or NULL
    size_t skip;       // so many objects
    struct object found;
    bool is_found;
};

static void extent(const struct dl_phdr_info *info, struct object *object) {
    object->low = UINTPTR_MAX;
    object->high = 0;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        if (info->dlpi_phdr[i].p_type != PT_LOAD)
            continue;
        uintptr_t low = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr, high = low + info->dlpi_phdr[i].p_memsz;
        object->low = low < object->low ? low : object->low;
        object->high = high > object->high ? high : object->high;
    }
}

static int look(struct dl_phdr_info *info, size_t size, void *data) {
    (void)size;
    struct search *search = data;
    extent(info, &search->found);
    if (search->address && search->address - search->found.low >= search->found.high - search->found.low)
        return 0;
    if (search->part && strstr(info->dlpi_name, search->part) == NULL)
        return 0;
    if (search->skip) {
        search->skip--;
        return 0;
    }
    snprintf(search->found.path, sizeof search->found.path, "%s", info->dlpi_name);
    search->is_found = true;
    return 1;
}

static bool find_object(struct search *search) {
    dl_iterate_phdr(look, search);
    return search->is_found;
}

void q4_watch_object_named(const char *part, char *path, unsigned long bytes) {
    struct search search = {.part = part};
    snprintf(path, bytes, "%s", find_object(&search) ? search.found.path : "");
}

// ---- their functions ----------------------------------------------------------------------------

static struct object own;

static void find_own(void) {
    struct search search = {.address = (uintptr_t)&own};
    if (find_object(&search))
        own = search.found;
}

// What is not ours; an error that is left behind would be taken for one of the program's.
static void *checked(void *function) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, find_own);
    dlerror();
    return (uintptr_t)function - own.low < own.high - own.low ? NULL : function;
}

// Looks in the object and in what it uses. The object is never closed again: what was found in it is kept.
static void *of_object(const struct object *object, const char *name) {
    if (object->path[0] == '\0')
        return NULL;
    void *handle = dlopen(object->path, RTLD_LAZY | RTLD_NOLOAD);
    return handle ? checked(dlsym(handle, name)) : checked(NULL);
}

static void *of_any(const char *name) {
    for (size_t i = 0; i < MAX_OBJECTS; i++) {
        struct search search = {.skip = i};
        if (!find_object(&search))
            break;
        void *function = of_object(&search.found, name);
        if (function)
            return function;
    }
    return NULL;
}

void *q4_watch_symbol(const char *name, const void *caller) {
    struct search search = {.address = (uintptr_t)caller};
    void *function = find_object(&search) ? of_object(&search.found, name) : NULL;
    return function ? function : checked(dlsym(RTLD_NEXT, name));
}

void *q4_watch_find(q4_watch_real_cache *cache, const char *name, const void *caller) {
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static struct q4_watch_real found[MAX_FOUND];
    static size_t n_found;
    void *function = q4_watch_symbol(name, caller);
    if (function == NULL)
        function = of_any(name);
    struct search search = {.address = (uintptr_t)caller};
    pthread_mutex_lock(&lock);
    if (n_found < MAX_FOUND && find_object(&search)) {
        struct q4_watch_real *real = &found[n_found++];
        const struct q4_watch_real *others = atomic_load_explicit(cache, memory_order_relaxed);
        *real = (struct q4_watch_real){search.found.low, search.found.high, function, others};
        atomic_store_explicit(cache, real, memory_order_release);
    }
    pthread_mutex_unlock(&lock);
    return function;
}
