/*
 * bench_record.c - records a command into an event stream: the batches of capture, one after
 * another.
 *
 *   bench_record FREQUENCY_HZ OUT CMD...
 *
 * bench_ingest replays such a stream. Prints {"n_samples":...,"n_lost":...,"n_bytes":...}.
 */
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "capture/capture.h"
#include "tests/bench/bench.h"

/* A child that waits for a byte before it becomes the command. */
static pid_t start_held(char **command, int *release)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) {
        return -1;
    }
    pid_t pid = fork();
    if (pid == 0) {
        char byte;
        if (read(ends[0], &byte, 1) == 1) {
            execvp(command[0], command);
            perror(command[0]);
        }
        _exit(127);
    }
    close(ends[0]);
    *release = ends[1];
    return pid;
}

/* Writes batches until the end of the run; returns the bytes written. */
static int64_t drain(struct queue *queue, int fd, const char *path)
{
    int64_t n_bytes = 0;
    for (bool is_end = false; !is_end;) {
        size_t n = 0;
        void *batch = queue_pop(queue, 1000, &n);
        if (!batch) {
            continue;
        }
        size_t at = 0;
        bool is_bad = false;
        for (const struct event_head *head; (head = event_next(batch, n, &at, &is_bad));) {
            is_end = is_end || head->type == EVENT_END;
        }
        int rc = fd_write_all(fd, batch, n);
        free(batch);
        if (rc != 0 || is_bad) {
            fprintf(stderr, "%s: %s\n", path, is_bad ? "malformed batch" : strerror(-rc));
            exit(1);
        }
        n_bytes += (int64_t)n;
    }
    return n_bytes;
}

int main(int argc, char **argv)
{
    if (argc < 4) {
        fprintf(stderr, "usage: bench_record FREQUENCY_HZ OUT CMD...\n");
        return 2;
    }
    int release = -1;
    int fd = open(argv[2], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    pid_t pid = fd < 0 ? -1 : start_held(argv + 3, &release);
    if (pid < 0) {
        perror("bench_record");
        return 1;
    }
    struct capture_options options = {
        .pid = pid,
        .unwinds = true,
        .is_launched = true,
        .with_children = true,
        .frequency_hz = (uint32_t)strtoul(argv[1], NULL, 10),
        .ring_bytes = 4 << 20,
    };
    struct err e = {0};
    struct queue *queue = queue_new((size_t)1 << 30);
    struct capture *capture = NULL;
    if (capture_open(&capture, &options, queue, &e) != 0 || capture_start(capture, &e) != 0) {
        die("capture", &e);
    }
    if (write(release, "", 1) != 1) {
        perror("bench_record");
        return 1;
    }
    int64_t n_bytes = drain(queue, fd, argv[2]);
    struct capture_stats stats;
    capture_stats(capture, &stats);
    capture_close(capture);
    queue_free(queue);
    waitpid(pid, NULL, 0);
    printf("{\"n_samples\":%llu,\"n_lost\":%llu,\"n_bytes\":%lld,\"capture_cpu_ns\":%lld}\n",
           (unsigned long long)stats.n_samples, (unsigned long long)stats.n_lost,
           (long long)n_bytes, (long long)stats.cpu_time_ns);
    return close(fd) == 0 ? 0 : 1;
}
