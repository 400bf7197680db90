#define _GNU_SOURCE
#include "record_file.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static struct {
    pthread_mutex_t lock;
    bool tried;
    int fd;
    uint64_t n_blocks;
    struct q4_watch_head *head;
    _Atomic bool failed;
} file = {.lock = PTHREAD_MUTEX_INITIALIZER, .fd = -1};

// Mapped room behind what the file has. The disk's blocks are taken at once: where it is full this says so, and a store
// into the map later does not end the program.
static void *extend(off_t at, size_t bytes) {
    int error = posix_fallocate(file.fd, at, (off_t)bytes);
    if (error) {
        errno = error;
        return NULL;
    }
    void *map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, file.fd, at);
    return map == MAP_FAILED ? NULL : map;
}

// A process that becomes another program keeps its number.
static int create(const char *folder) {
    for (int i = 0; i < 1000; i++) {
        char path[4096];
        int n = snprintf(path, sizeof path, "%s/%ld-%d.q4watch", folder, (long)getpid(), i);
        if (n < 0 || (size_t)n >= sizeof path)
            return -1;
        int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (fd >= 0 || errno != EEXIST)
            return fd;
    }
    return -1;
}

static void open_once(void) {
    const char *folder = getenv("Q4_WATCH");
    if (folder == NULL || (file.fd = create(folder)) < 0)
        return;
    struct q4_watch_head *head = extend(0, Q4_WATCH_HEAD_BYTES);
    if (head == NULL)
        return;
    *head = (struct q4_watch_head){.version = Q4_WATCH_VERSION,
                                   .head_bytes = Q4_WATCH_HEAD_BYTES,
                                   .block_bytes = Q4_WATCH_BLOCK_BYTES,
                                   .operation_bytes = sizeof(struct q4_watch_operation),
                                   .process = (uint32_t)getpid()};
    memcpy(head->magic, Q4_WATCH_MAGIC, sizeof Q4_WATCH_MAGIC);
    file.head = head;
}

bool q4_watch_file_open(void) {
    pthread_mutex_lock(&file.lock);
    if (!file.tried)
        open_once();
    file.tried = true;
    pthread_mutex_unlock(&file.lock);
    return file.head != NULL;
}

struct q4_watch_head *q4_watch_file_head(void) { return file.head; }

void q4_watch_file_forget(void) {
    if (file.head)
        munmap(file.head, Q4_WATCH_HEAD_BYTES);
    if (file.fd >= 0)
        close(file.fd);
    file.head = NULL;
    file.fd = -1;
    file.n_blocks = 0;
    file.tried = false;
    file.failed = false;
    pthread_mutex_init(&file.lock, NULL); // another thread of the parent may have held it
}

static struct q4_watch_block *new_block(enum q4_watch_kind kind, unsigned slot) {
    if (file.failed)
        return NULL;
    pthread_mutex_lock(&file.lock);
    off_t at = Q4_WATCH_HEAD_BYTES + (off_t)(file.n_blocks * Q4_WATCH_BLOCK_BYTES);
    struct q4_watch_block *block = extend(at, Q4_WATCH_BLOCK_BYTES);
    if (block == NULL) {
        file.head->error = (uint32_t)errno;
        file.failed = true;
    } else {
        block->kind = kind;
        block->slot = slot;
        block->number = file.n_blocks++;
    }
    pthread_mutex_unlock(&file.lock);
    return block;
}

static size_t left(const struct q4_watch_block *block) {
    if (block == NULL)
        return 0;
    return Q4_WATCH_BLOCK_BYTES - sizeof *block - atomic_load_explicit(&block->used, memory_order_relaxed);
}

static bool replace(struct q4_watch_block **block, enum q4_watch_kind kind, unsigned slot) {
    struct q4_watch_block *next = new_block(kind, slot);
    if (*block)
        munmap(*block, Q4_WATCH_BLOCK_BYTES);
    *block = next;
    return next != NULL;
}

void *q4_watch_room(struct q4_watch_block **block, enum q4_watch_kind kind, unsigned slot, size_t bytes) {
    if (bytes > Q4_WATCH_BLOCK_BYTES - sizeof **block)
        return NULL;
    if (left(*block) < bytes && !replace(block, kind, slot))
        return NULL;
    return (char *)(*block + 1) + atomic_load_explicit(&(*block)->used, memory_order_relaxed);
}

void q4_watch_refresh(struct q4_watch_block **block, enum q4_watch_kind kind, unsigned slot, size_t bytes) {
    if (left(*block) < bytes)
        replace(block, kind, slot);
}
