/*
 * file_reader.h - opens and reads mapped files, and what the memory of a process has of one that is
 * gone, by threads that may hang in it (base/aside.h): a mount whose server is gone, a page that
 * nobody fills.
 *
 * One job does one step. Whoever made it owns it again when it was answered, or taken late.
 */
#ifndef STAX_INGEST_FILE_READER_H
#define STAX_INGEST_FILE_READER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/aside.h"
#include "base/buf.h"
#include "capture/event.h"
#include "ingest/names.h"

enum file_step {
    FILE_LOOK,   /* size and times */
    FILE_OPEN,   /* the same, and a descriptor of the very file that is mapped */
    FILE_MEMORY, /* of a file that is gone: build id, segments, extents */
    FILE_TABLES, /* symbol tables, from fd or, where that is -1, from open_path */
    FILE_CHECK,  /* whether fd answers */
};

struct file_job {
    struct aside_job job;
    enum file_step step;
    uint32_t binary; /* the asker's */
    /* what is asked */
    int pid;
    uint64_t start, size, inode;
    char *path;
    char *open_path; /* FILE_OPEN fills it */
    int fd;          /* the job's own, also as the answer; -1 */
    /* what came of it */
    bool has_look;
    int64_t n_bytes, mtime_ns;
    const char *note; /* why not; static */
    struct names *names;
};

/* What is said of a file that has not answered (yet). */
extern const char file_reader_hangs[];
extern const char file_reader_memory_hangs[];

/* m and path are copied; path: without " (deleted)". */
struct file_job *file_job_of_mapping(enum file_step step, uint32_t binary,
                                     const struct event_mapping *m, const char *path);
/* FILE_MEMORY of the mapping that could not be opened. */
struct file_job *file_job_memory(const struct file_job *opened);
/* Of a file that was opened: takes fd. device: as its mapping had it. */
struct file_job *file_job_of_file(enum file_step step, uint32_t binary, int fd,
                                  const char *open_path, uint64_t device, uint64_t inode);
/* Frees it with all that it holds still. */
void file_job_free(struct file_job *j);

/* FILE_LOOK without a thread, where the kernel can tell at once, which it does of files in use on
 * file systems of this machine. False: it cannot; ask a thread. */
bool file_reader_look_now(struct file_job *j);
/* As aside_do(), with the patience that such a step deserves. */
enum aside_answer file_reader_do(struct aside *a, struct file_job *j, bool is_wanted_late);

#endif
