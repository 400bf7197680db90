// llama.cpp's own shared libraries, called without its headers: for programs that drive any build of it (peer.c,
// tests/support/llama_driver.c).
#ifndef Q4_LLAMA_LIBRARIES_H
#define Q4_LLAMA_LIBRARIES_H

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

// A structure of theirs that is passed by value. All are larger than 16 bytes, so AAPCS64 (6.8.2, rule B.4, and results
// by x8) and x86-64 pass them in memory; none is longer than this, in which each keeps a layout of its own.
struct opaque {
    _Alignas(16) char bytes[1024];
};

struct wanted_function {
    void *to; // a pointer to a function
    const char *name;
};

static void give_up(const char *what, const char *name) {
    fprintf(stderr, "%s: %s %s\n", program_invocation_short_name, what, name);
    exit(1);
}

static void *open_library(const char *folder, const char *name) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL)
        give_up("cannot open", dlerror());
    return library;
}

static void find_functions(void *library, const struct wanted_function *wanted, size_t n) {
    for (size_t i = 0; i < n; i++)
        if ((*(void **)wanted[i].to = dlsym(library, wanted[i].name)) == NULL)
            give_up("the libraries lack", wanted[i].name);
}

#endif
