/*
 * naming.c - see naming.h.
 *
 * One queue of jobs for the worker, one of build ids for the thread that downloads, one list of
 * results, all under one lock that is never held while a file is touched.
 */
#include "ingest/naming.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/elf_code.h"
#include "base/fd.h"
#include "base/mem.h"
#include "ingest/code.h"
#include "ingest/debug_info.h"
#include "ingest/debuginfod.h"
#include "ingest/packages.h"

enum {
    MAX_WAITING = 1 << 16,       /* addresses asked and not answered yet */
    MAX_TABLES = 4096,           /* functions asked and not answered yet */
    RESULTS_MAX = 16 << 20,      /* bytes of results not taken yet, beyond which nothing is asked */
    MAX_TARGETS = 4096,          /* of a function */
    MAX_FILES = 4096,            /* files with a descriptor each */
    MAX_LINES_BYTES = 512 << 20, /* debug information of all files; the last one may exceed it */
    NICE = 19                    /* some percent of a busy CPU */
};

enum job_kind { JOB_FILE, JOB_ADDRESSES, JOB_TABLES, JOB_DOWNLOADED, JOB_RETRY };

struct job {
    enum job_kind kind;
    uint32_t binary;
    struct debug_info *file;          /* JOB_FILE: becomes the worker's */
    struct naming_address *addresses; /* JOB_ADDRESSES */
    size_t n_addresses;
    struct naming_code *codes; /* JOB_TABLES */
    size_t n_codes;
    int fd; /* JOB_DOWNLOADED */
    char *path;
    char *build_id; /* asked for */
    bool is_alt;    /* the build is that of a dwz alternate */
    char *outcome;  /* what became of it, NULL: it was found */
    struct job *next;
};

struct jobs {
    struct job *first, **last;
};

struct naming {
    struct debuginfod_servers *servers; /* held */
    bool has_downloader;
    pthread_mutex_t lock;
    unsigned n_users; /* the owner and the threads: the last one frees */
    pthread_cond_t has_job, has_download, is_done;
    struct jobs jobs, tables, downloads; /* tables: whenever there are no other jobs */
    struct naming_result *results, **last_result;
    size_t n_result_bytes;
    size_t n_waiting;   /* addresses in jobs */
    size_t n_tables;    /* functions in jobs */
    size_t n_busy;      /* other jobs of the owner that are not finished */
    size_t n_downloads; /* ... and what servers were asked */
    size_t n_files;
    bool has_retry; /* in jobs */
    atomic_bool is_stopping;
    atomic_size_t n_bytes;
    /* the worker's */
    struct debug_info **files; /* by binary id */
    size_t n_slots, cap_slots;
    uint64_t clock;
    struct packages *packages; /* NULL: not needed yet */
};

static void push(struct jobs *jobs, struct job *job)
{
    if (!jobs->last) {
        jobs->last = &jobs->first;
    }
    job->next = NULL;
    *jobs->last = job;
    jobs->last = &job->next;
}

static struct job *pop(struct jobs *jobs)
{
    struct job *job = jobs->first;
    if (job) {
        jobs->first = job->next;
        if (!jobs->first) {
            jobs->last = &jobs->first;
        }
    }
    return job;
}

static void free_job(struct job *job)
{
    if (job->file) {
        debug_info_fini(job->file);
        free(job->file);
    }
    fd_close(&job->fd);
    free(job->addresses);
    free(job->codes);
    free(job->path);
    free(job->build_id);
    free(job->outcome);
    free(job);
}

static struct job *job_new(enum job_kind kind, uint32_t binary)
{
    struct job *job = mem_new(1, sizeof(*job));
    *job = (struct job){.kind = kind, .binary = binary, .fd = -1};
    return job;
}

static size_t bytes_of(const struct naming_result *r)
{
    size_t n = sizeof(*r) + r->cap_rows * sizeof(*r->rows) + r->text.cap;
    for (size_t i = 0; i < r->n_tables; i++) {
        const struct naming_table *t = &r->tables[i];
        n += sizeof(*t) + t->table.cap_spans * sizeof(*t->table.spans) +
             t->table.cap_calls * sizeof(*t->table.calls) + t->table.text.cap +
             t->cap_targets * sizeof(*t->targets);
    }
    return n + (r->names ? names_bytes(r->names) : 0);
}

static void give(struct naming *n, struct naming_result *r)
{
    r->n_bytes = bytes_of(r);
    pthread_mutex_lock(&n->lock);
    *n->last_result = r;
    n->last_result = &r->next;
    n->n_result_bytes += r->n_bytes;
    pthread_mutex_unlock(&n->lock);
}

static struct naming_result *result_new(uint32_t binary)
{
    struct naming_result *r = mem_new(1, sizeof(*r));
    r->binary = binary;
    return r;
}

/* ---- who uses it ---- */

static void destroy(struct naming *n)
{
    struct job *job;
    while ((job = pop(&n->jobs)) || (job = pop(&n->tables)) || (job = pop(&n->downloads))) {
        free_job(job);
    }
    struct naming_result *r;
    while ((r = naming_take(n))) {
        naming_free_result(r);
    }
    for (size_t i = 0; i < n->n_slots; i++) {
        if (n->files[i]) {
            debug_info_fini(n->files[i]);
            free(n->files[i]);
        }
    }
    free(n->files);
    pthread_mutex_destroy(&n->lock);
    pthread_cond_destroy(&n->has_job);
    pthread_cond_destroy(&n->has_download);
    pthread_cond_destroy(&n->is_done);
    packages_free(n->packages);
    debuginfod_servers_free(n->servers);
    free(n);
}

/* The last one to leave frees everything. */
static void leave(struct naming *n)
{
    pthread_mutex_lock(&n->lock);
    bool is_last = --n->n_users == 0;
    pthread_mutex_unlock(&n->lock);
    if (is_last) {
        destroy(n);
    }
}

static bool start(struct naming *n, void *(*run)(void *))
{
    pthread_t thread;
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_mutex_lock(&n->lock);
    n->n_users++;
    pthread_mutex_unlock(&n->lock);
    bool is_started = pthread_create(&thread, &attr, run, n) == 0;
    pthread_attr_destroy(&attr);
    if (!is_started) {
        leave(n);
    }
    return is_started;
}

/* ---- the worker ---- */

static struct debug_info *file_of(const struct naming *n, uint32_t binary)
{
    return binary < n->n_slots ? n->files[binary] : NULL;
}

/* What servers say matters where something is missing: where a file has its symbols, only of its
 * alternate. */
static void tell_server(struct naming *n, uint32_t binary, const char *outcome)
{
    const struct debug_info *d = file_of(n, binary);
    if (d->has_symtab ? d->alt_build_id != NULL : d->debug_fd < 0 || d->alt_build_id) {
        struct naming_result *r = result_new(binary);
        r->server = debuginfod_note(outcome);
        give(n, r);
    }
}

static void push_download(struct naming *n, uint32_t binary, const struct debug_info *d,
                          bool is_alt)
{
    struct job *job = job_new(JOB_DOWNLOADED, binary);
    job->path = mem_strdup(d->path);
    job->build_id = mem_strdup(is_alt ? d->alt_build_id : d->build_id);
    job->is_alt = is_alt;
    pthread_mutex_lock(&n->lock);
    push(&n->downloads, job);
    n->n_downloads++;
    pthread_cond_signal(&n->has_download);
    pthread_mutex_unlock(&n->lock);
}

static void ask_server(struct naming *n, uint32_t binary, struct debug_info *d)
{
    if (n->has_downloader && !d->is_downloading && d->build_id && debug_info_is_wanting(d)) {
        d->is_downloading = true;
        tell_server(n, binary, debuginfod_no_answer);
        push_download(n, binary, d, false);
    }
}

/* For what its lines turned out to lack. */
static void ask_server_for_alt(struct naming *n, uint32_t binary, struct debug_info *d)
{
    if (n->has_downloader && !d->is_alt_asked && d->alt_build_id) {
        d->is_alt_asked = true;
        tell_server(n, binary, debuginfod_no_answer);
        push_download(n, binary, d, true);
    }
}

static void tell_file(struct naming *n, uint32_t binary, struct names *names,
                      enum names_source source, bool is_asking_again)
{
    const struct debug_info *d = file_of(n, binary);
    if (!names && !d->note && !is_asking_again) {
        return;
    }
    struct naming_result *r = result_new(binary);
    r->names = names;
    r->source = source;
    r->note = d->note ? mem_strdup(d->note) : NULL;
    r->is_asking_again = is_asking_again;
    give(n, r);
}

/* Whose debug package would help. */
static void tell_package(struct naming *n, uint32_t binary)
{
    const struct debug_info *d = file_of(n, binary);
    if (!debug_info_is_wanting(d) || !d->root[0]) { /* no process of a run under way */
        return;
    }
    n->packages = n->packages ? n->packages : packages_new();
    const char *package = packages_owner(n->packages, d->root, d->path);
    if (package) {
        struct naming_result *r = result_new(binary);
        r->package = mem_strdup(package);
        give(n, r);
    }
}

static void look_for(struct naming *n, uint32_t binary, bool is_again)
{
    struct debug_info *d = file_of(n, binary);
    bool was_wanting = debug_info_is_wanting(d);
    struct names *names = debug_info_search(d);
    bool is_found = was_wanting && d->debug_fd >= 0;
    tell_file(n, binary, names, NAMES_DEBUG_FILE, is_again && is_found);
    if (!is_again) {
        tell_package(n, binary);
    }
    ask_server(n, binary, d);
}

static void do_file(struct naming *n, struct job *job)
{
    size_t need = (size_t)job->binary + 1;
    if (n->n_slots < need) {
        mem_reserve(&n->files, &n->cap_slots, need, sizeof(struct debug_info *));
        memset(n->files + n->n_slots, 0, (need - n->n_slots) * sizeof(struct debug_info *));
        n->n_slots = need;
    }
    if (n->files[job->binary]) {
        return;
    }
    n->files[job->binary] = job->file;
    job->file = NULL;
    look_for(n, job->binary, false);
}

/* Drops the lines that were not used for longest until the bound holds; keeps those of d. */
static void keep_small(struct naming *n, const struct debug_info *d)
{
    size_t n_bytes = 0;
    for (size_t i = 0; i < n->n_slots; i++) {
        n_bytes += n->files[i] ? debug_info_bytes(n->files[i]) : 0;
    }
    while (n_bytes > MAX_LINES_BYTES) {
        struct debug_info *oldest = NULL;
        for (size_t i = 0; i < n->n_slots; i++) {
            struct debug_info *f = n->files[i];
            if (f && f != d && f->lines && (!oldest || f->used < oldest->used)) {
                oldest = f;
            }
        }
        if (!oldest) {
            break;
        }
        n_bytes -= debug_info_bytes(oldest);
        debug_info_drop_lines(oldest);
    }
    atomic_store(&n->n_bytes, n_bytes);
}

static void find_lines(struct debug_info *d, struct naming_result *r,
                       const struct naming_address *a)
{
    struct lines_row rows[LINES_MAX_DEPTH];
    size_t n = debug_info_find(d, a->address, rows, &r->text);
    for (size_t i = 0; i < n; i++) {
        mem_reserve(&r->rows, &r->cap_rows, r->n_rows + 1, sizeof(*r->rows));
        r->rows[r->n_rows++] = (struct naming_row){.frame = a->frame,
                                                   .depth = (uint32_t)i,
                                                   .function = rows[i].function,
                                                   .file = rows[i].file,
                                                   .line = rows[i].line,
                                                   .language = rows[i].language,
                                                   .is_static = rows[i].is_static,
                                                   .declared = rows[i].declared,
                                                   .address = rows[i].address};
    }
}

static void do_addresses(struct naming *n, const struct job *job)
{
    struct debug_info *d = file_of(n, job->binary);
    if (d && !(d->has_no_lines && !d->lines)) {
        struct naming_result *r = result_new(job->binary);
        d->used = ++n->clock;
        for (size_t i = 0; i < job->n_addresses && !atomic_load(&n->is_stopping); i++) {
            find_lines(d, r, &job->addresses[i]);
        }
        r->lack = debug_info_lack(d);
        keep_small(n, d);
        give(n, r);
        ask_server_for_alt(n, job->binary, d);
    }
    pthread_mutex_lock(&n->lock);
    n->n_waiting -= job->n_addresses;
    pthread_mutex_unlock(&n->lock);
}

static void take_target(void *ctx, uint64_t address)
{
    struct naming_table *t = ctx;
    bool is_outside = address < t->code.address || address - t->code.address >= t->code.size;
    if (is_outside && t->n_targets < MAX_TARGETS) {
        mem_reserve(&t->targets, &t->cap_targets, t->n_targets + 1, sizeof(*t->targets));
        t->targets[t->n_targets++] = address;
    }
}

static void find_targets(const struct elf_code *code, struct naming_table *t)
{
    struct buf bytes = {0};
    if (code && elf_code_read(code, t->code.address, t->code.size, &bytes, NULL) == 0) {
        code_targets(elf_code_arch(code), (const uint8_t *)bytes.data, bytes.len, t->code.address,
                     take_target, t);
    }
    buf_free(&bytes);
}

static struct elf_code *open_code(const struct debug_info *d)
{
    struct elf_code *code = NULL;
    int fd = d && d->fd >= 0 ? fcntl(d->fd, F_DUPFD_CLOEXEC, 3) : -1;
    return fd >= 0 && elf_code_open(&code, fd, 0, NULL) == 0 ? code : NULL;
}

static void do_tables(struct naming *n, const struct job *job)
{
    struct debug_info *d = file_of(n, job->binary);
    struct naming_result *r = result_new(job->binary);
    r->tables = mem_new(job->n_codes, sizeof(*r->tables));
    if (d) {
        d->used = ++n->clock;
    }
    struct elf_code *elf = open_code(d);
    for (size_t i = 0; i < job->n_codes && !atomic_load(&n->is_stopping); i++) {
        const struct naming_code *code = &job->codes[i];
        struct naming_table *t = &r->tables[r->n_tables++];
        *t = (struct naming_table){.code = *code};
        t->is_known = d && debug_info_table(d, code->address, code->size, &t->table);
        find_targets(elf, t);
    }
    elf_code_close(elf);
    r->lack = d ? debug_info_lack(d) : NULL;
    keep_small(n, d);
    give(n, r);
    if (d) {
        ask_server_for_alt(n, job->binary, d);
    }
    pthread_mutex_lock(&n->lock);
    n->n_tables -= job->n_codes;
    pthread_mutex_unlock(&n->lock);
}

static void tell_alternate(struct naming *n, uint32_t binary)
{
    struct naming_result *r = result_new(binary);
    r->has_alternate = r->is_asking_again = true;
    give(n, r);
}

/* What a server answered is of no use. */
static void refuse(struct naming *n, const struct job *job, const char *failure)
{
    struct buf outcome = {0};
    buf_addf(&outcome, "failed: %s", failure);
    debuginfod_refuse(n->servers, job->build_id, job->path, failure);
    tell_server(n, job->binary, buf_str(&outcome));
    buf_free(&outcome);
}

static void do_alternate(struct naming *n, struct job *job, struct debug_info *d)
{
    int fd = job->fd;
    job->fd = -1;
    if (fd < 0) {
        tell_server(n, job->binary, job->outcome);
    } else if (!d->alt_build_id) { /* it was found here meanwhile */
        close(fd);
    } else if (strcmp(d->alt_build_id, job->build_id) != 0) { /* of another debug file */
        close(fd);
        d->is_alt_asked = false;
        ask_server_for_alt(n, job->binary, d);
    } else {
        char *refused = debug_info_take_alt(d, fd);
        if (refused) {
            refuse(n, job, refused);
        } else {
            tell_alternate(n, job->binary);
        }
        free(refused);
    }
}

static void do_downloaded(struct naming *n, struct job *job)
{
    struct debug_info *d = file_of(n, job->binary);
    if (d && job->is_alt) {
        do_alternate(n, job, d);
        return;
    }
    if (d) {
        d->is_downloading = false;
    }
    if (d && job->fd >= 0) {
        int fd = job->fd;
        job->fd = -1;
        char *refused;
        struct names *names = debug_info_take(d, fd, job->path, NAMES_DEBUGINFOD, &refused);
        tell_file(n, job->binary, names, NAMES_DEBUGINFOD, d->debug_fd >= 0);
        if (refused) {
            refuse(n, job, refused);
        }
        free(refused);
    } else if (d) {
        tell_server(n, job->binary, job->outcome);
    }
}

static void retry(struct naming *n, uint32_t binary)
{
    struct debug_info *d = file_of(n, binary);
    if (debug_info_is_wanting(d)) {
        look_for(n, binary, true);
    }
    bool is_found = debug_info_search_alt(d);
    keep_small(n, d);
    if (is_found) {
        tell_alternate(n, binary);
    } else if (d->alt_build_id) {
        d->is_alt_asked = false;
        ask_server_for_alt(n, binary, d);
    }
}

static void do_job(struct naming *n, struct job *job)
{
    switch (job->kind) {
    case JOB_FILE:
        do_file(n, job);
        break;
    case JOB_ADDRESSES:
        do_addresses(n, job);
        break;
    case JOB_TABLES:
        do_tables(n, job);
        break;
    case JOB_DOWNLOADED:
        do_downloaded(n, job);
        break;
    case JOB_RETRY:
        for (size_t i = 0; i < n->n_slots; i++) {
            if (n->files[i]) {
                retry(n, (uint32_t)i);
            }
        }
        break;
    }
}

static void *work(void *arg)
{
    struct naming *n = arg;
    pthread_setname_np(pthread_self(), "stax-naming");
    setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid),
                NICE); /* threads have their own on Linux */
    pthread_mutex_lock(&n->lock);
    while (!atomic_load(&n->is_stopping)) {
        struct job *job = pop(&n->jobs);
        job = job ? job : pop(&n->tables);
        if (!job) {
            pthread_cond_wait(&n->has_job, &n->lock);
            continue;
        }
        n->has_retry &= job->kind != JOB_RETRY;
        pthread_mutex_unlock(&n->lock);
        do_job(n, job);
        bool is_owners = job->kind != JOB_DOWNLOADED, is_tables = job->kind == JOB_TABLES;
        free_job(job);
        pthread_mutex_lock(&n->lock);
        n->n_busy -= is_owners && !is_tables;
        n->n_downloads -= !is_owners;
        pthread_cond_broadcast(&n->is_done);
    }
    pthread_mutex_unlock(&n->lock);
    leave(n);
    return NULL;
}

/* ---- the thread that downloads ---- */

static bool goes_on(void *ctx)
{
    const struct naming *n = ctx;
    return !atomic_load(&n->is_stopping);
}

static void *download(void *arg)
{
    struct naming *n = arg;
    pthread_setname_np(pthread_self(), "stax-debuginfod");
    struct debuginfod *d = debuginfod_open(n->servers, goes_on, n);
    pthread_mutex_lock(&n->lock);
    while (!atomic_load(&n->is_stopping)) {
        struct job *job = pop(&n->downloads);
        if (!job) {
            pthread_cond_wait(&n->has_download, &n->lock);
            continue;
        }
        pthread_mutex_unlock(&n->lock);
        char *path = NULL;
        job->fd = d ? debuginfod_find(d, job->build_id, job->path, &path) : -1;
        if (job->fd < 0) {
            job->outcome = mem_strdup(d ? debuginfod_outcome(d) : "failed: no client");
        }
        free(job->path);
        job->path = path;
        pthread_mutex_lock(&n->lock);
        push(&n->jobs, job);
        pthread_cond_signal(&n->has_job);
    }
    pthread_mutex_unlock(&n->lock);
    debuginfod_close(d);
    leave(n);
    return NULL;
}

/* ---- the owner ---- */

struct naming *naming_new(struct debuginfod_servers *servers)
{
    struct naming *n = mem_new(1, sizeof(*n));
    n->servers = debuginfod_servers_hold(servers);
    n->last_result = &n->results;
    pthread_mutex_init(&n->lock, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&n->has_job, NULL);
    pthread_cond_init(&n->has_download, NULL);
    pthread_cond_init(&n->is_done, &attr);
    pthread_condattr_destroy(&attr);
    n->n_users = 1;
    n->has_downloader = servers && debuginfod_has_urls() && start(n, download);
    if (!start(n, work)) {
        naming_free(n);
        return NULL;
    }
    return n;
}

void naming_free(struct naming *n)
{
    if (!n) {
        return;
    }
    pthread_mutex_lock(&n->lock);
    atomic_store(&n->is_stopping, true);
    pthread_cond_broadcast(&n->has_job);
    pthread_cond_broadcast(&n->has_download);
    pthread_mutex_unlock(&n->lock);
    leave(n);
}

static void submit(struct naming *n, struct job *job)
{
    pthread_mutex_lock(&n->lock);
    push(job->kind == JOB_TABLES ? &n->tables : &n->jobs, job);
    n->n_busy += job->kind != JOB_TABLES;
    n->n_waiting += job->n_addresses;
    n->n_tables += job->n_codes;
    pthread_cond_signal(&n->has_job);
    pthread_mutex_unlock(&n->lock);
}

void naming_add_file(struct naming *n, uint32_t binary, int fd, const struct names *names,
                     const char *path, const char *root)
{
    if (n->n_files >= MAX_FILES) {
        fd_close(&fd);
        return;
    }
    n->n_files++;
    struct job *job = job_new(JOB_FILE, binary);
    job->file = mem_new(1, sizeof(*job->file));
    debug_info_init(job->file, fd, names, path, root);
    submit(n, job);
}

bool naming_ask(struct naming *n, uint32_t binary, const struct naming_address *addresses,
                size_t n_addresses)
{
    pthread_mutex_lock(&n->lock);
    bool is_full = n->n_waiting + n_addresses > MAX_WAITING || n->n_result_bytes > RESULTS_MAX;
    pthread_mutex_unlock(&n->lock);
    if (is_full) {
        return false;
    }
    struct job *job = job_new(JOB_ADDRESSES, binary);
    job->addresses = mem_new(n_addresses, sizeof(*addresses));
    memcpy(job->addresses, addresses, n_addresses * sizeof(*addresses));
    job->n_addresses = n_addresses;
    submit(n, job);
    return true;
}

bool naming_ask_tables(struct naming *n, uint32_t binary, const struct naming_code *codes,
                       size_t n_codes)
{
    pthread_mutex_lock(&n->lock);
    bool is_full = n->n_tables + n_codes > MAX_TABLES || n->n_result_bytes > RESULTS_MAX;
    pthread_mutex_unlock(&n->lock);
    if (is_full) {
        return false;
    }
    struct job *job = job_new(JOB_TABLES, binary);
    job->codes = mem_new(n_codes, sizeof(*codes));
    memcpy(job->codes, codes, n_codes * sizeof(*codes));
    job->n_codes = n_codes;
    submit(n, job);
    return true;
}

void naming_retry(struct naming *n)
{
    pthread_mutex_lock(&n->lock);
    bool is_asked = n->has_retry;
    n->has_retry = true;
    pthread_mutex_unlock(&n->lock);
    if (!is_asked) {
        submit(n, job_new(JOB_RETRY, 0));
    }
}

struct naming_result *naming_take(struct naming *n)
{
    pthread_mutex_lock(&n->lock);
    struct naming_result *r = n->results;
    if (r) {
        n->results = r->next;
        if (!n->results) {
            n->last_result = &n->results;
        }
        n->n_result_bytes -= r->n_bytes;
    }
    pthread_mutex_unlock(&n->lock);
    return r;
}

void naming_free_result(struct naming_result *r)
{
    names_close(r->names);
    for (size_t i = 0; i < r->n_tables; i++) {
        lines_free_table(&r->tables[i].table);
        free(r->tables[i].targets);
    }
    free(r->tables);
    free(r->rows);
    free(r->note);
    free(r->lack);
    free(r->server);
    free(r->package);
    buf_free(&r->text);
    free(r);
}

static struct timespec after_ms(int timeout_ms)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    int64_t ns = t.tv_nsec + (int64_t)timeout_ms * 1000000;
    t.tv_sec += (time_t)(ns / 1000000000);
    t.tv_nsec = (long)(ns % 1000000000);
    return t;
}

bool naming_wait(struct naming *n, int timeout_ms, bool with_downloads)
{
    struct timespec until = after_ms(timeout_ms);
    pthread_mutex_lock(&n->lock);
    int rc = 0;
    while ((n->n_busy || (with_downloads && n->n_downloads)) && rc == 0) {
        rc = pthread_cond_timedwait(&n->is_done, &n->lock, &until);
    }
    bool is_idle = !n->n_busy && !(with_downloads && n->n_downloads);
    pthread_mutex_unlock(&n->lock);
    return is_idle;
}

bool naming_wait_tables(struct naming *n, int timeout_ms)
{
    struct timespec until = after_ms(timeout_ms);
    pthread_mutex_lock(&n->lock);
    int rc = 0;
    while (n->n_tables && rc == 0) {
        rc = pthread_cond_timedwait(&n->is_done, &n->lock, &until);
    }
    bool is_idle = !n->n_tables;
    pthread_mutex_unlock(&n->lock);
    return is_idle;
}

size_t naming_bytes(struct naming *n)
{
    pthread_mutex_lock(&n->lock);
    size_t n_bytes = n->n_result_bytes;
    pthread_mutex_unlock(&n->lock);
    return n_bytes + atomic_load(&n->n_bytes);
}
