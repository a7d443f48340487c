/* Stands between an agent and its disk and clock, by LD_PRELOAD: calls on files below TWINLET_SHIM_DIR fail while the
   control file TWINLET_SHIM says so, and the wall clock is off by what it says. The harness writes that file at run time.
   Knows nothing of who calls. Each call goes straight to the system. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* The control file; shim.rs writes the same. */
struct control {
    _Atomic int64_t armed;  /* whether anything fails at all */
    _Atomic int64_t calls;  /* which calls: a sum of the numbers below */
    _Atomic int64_t error;  /* errno of those that fail */
    _Atomic int64_t skip;   /* so many of these calls succeed first */
    _Atomic int64_t left;   /* then so many fail */
    _Atomic int64_t failed; /* how many have failed */
    _Atomic int64_t offset; /* nanoseconds that are added to the wall clock */
};
enum { WRITE = 1, SYNC = 2, RENAME = 4, OPEN = 8 };

static struct control *control;
static const char *dir;
static size_t dir_length;

__attribute__((constructor)) static void begin(void) {
    const char *file = getenv("TWINLET_SHIM");
    dir = getenv("TWINLET_SHIM_DIR");
    if (!file || !dir) return;
    dir_length = strlen(dir);
    int fd = (int)syscall(SYS_openat, AT_FDCWD, file, O_RDWR | O_CLOEXEC, 0);
    if (fd < 0) return;
    void *at = mmap(NULL, sizeof(struct control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    syscall(SYS_close, fd);
    if (at != MAP_FAILED) control = at;
}

static int below(const char *path) { return path && strncmp(path, dir, dir_length) == 0; }

static int fails(void) {
    if (atomic_fetch_sub(&control->skip, 1) > 0) return 0;
    if (atomic_fetch_sub(&control->left, 1) <= 0) return 0;
    atomic_fetch_add(&control->failed, 1);
    errno = (int)control->error;
    return 1;
}

static int meant(int call) { return control && control->armed && (control->calls & call); }

static int fails_on_path(int call, const char *path) { return meant(call) && below(path) && fails(); }

static int fails_on_file(int call, int fd) {
    if (!meant(call)) return 0;
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = syscall(SYS_readlinkat, AT_FDCWD, link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return below(path) && fails();
}

ssize_t write(int fd, const void *bytes, size_t length) {
    return fails_on_file(WRITE, fd) ? -1 : syscall(SYS_write, fd, bytes, length);
}
ssize_t writev(int fd, const struct iovec *parts, int many) {
    return fails_on_file(WRITE, fd) ? -1 : syscall(SYS_writev, fd, parts, many);
}
ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t at) {
    return fails_on_file(WRITE, fd) ? -1 : syscall(SYS_pwrite64, fd, bytes, length, at);
}
ssize_t pwrite(int fd, const void *bytes, size_t length, off_t at) { return pwrite64(fd, bytes, length, at); }
int ftruncate64(int fd, off64_t length) {
    return fails_on_file(WRITE, fd) ? -1 : (int)syscall(SYS_ftruncate, fd, length);
}
int ftruncate(int fd, off_t length) { return ftruncate64(fd, length); }
int fsync(int fd) { return fails_on_file(SYNC, fd) ? -1 : (int)syscall(SYS_fsync, fd); }
int fdatasync(int fd) { return fails_on_file(SYNC, fd) ? -1 : (int)syscall(SYS_fdatasync, fd); }
int sync_file_range(int fd, off64_t at, off64_t length, unsigned int flags) {
    return fails_on_file(SYNC, fd) ? -1 : (int)syscall(SYS_sync_file_range, fd, at, length, flags);
}
int rename(const char *from, const char *to) {
    return fails_on_path(RENAME, to) ? -1 : (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
}

static int open_at(int at, const char *path, int flags, mode_t mode) {
    int writes = (flags & O_ACCMODE) != O_RDONLY || (flags & O_CREAT);
    return writes && fails_on_path(OPEN, path) ? -1 : (int)syscall(SYS_openat, at, path, flags, mode);
}
#define MODE(after)                                            \
    mode_t mode = 0;                                           \
    if (flags & (O_CREAT | __O_TMPFILE)) {                     \
        va_list more;                                          \
        va_start(more, after);                                 \
        mode = va_arg(more, mode_t);                           \
        va_end(more);                                          \
    }
int open(const char *path, int flags, ...) { MODE(flags) return open_at(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE(flags) return open_at(AT_FDCWD, path, flags, mode); }
int openat(int at, const char *path, int flags, ...) { MODE(flags) return open_at(at, path, flags, mode); }
int openat64(int at, const char *path, int flags, ...) { MODE(flags) return open_at(at, path, flags, mode); }

/* The wall clock, which may not be before 1970. */
int clock_gettime(clockid_t clock, struct timespec *now) {
    int done = (int)syscall(SYS_clock_gettime, clock, now);
    if (done == 0 && control && control->offset && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
        int64_t nanos = (int64_t)now->tv_sec * 1000000000 + now->tv_nsec + control->offset;
        if (nanos < 0) nanos = 0;
        now->tv_sec = nanos / 1000000000;
        now->tv_nsec = nanos % 1000000000;
    }
    return done;
}
int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    (void)zone;
    struct timespec precise;
    if (clock_gettime(CLOCK_REALTIME, &precise) != 0) return -1;
    now->tv_sec = precise.tv_sec;
    now->tv_usec = precise.tv_nsec / 1000;
    return 0;
}
time_t time(time_t *out) {
    struct timespec now;
    if (clock_gettime(CLOCK_REALTIME, &now) != 0) return -1;
    if (out) *out = now.tv_sec;
    return now.tv_sec;
}
