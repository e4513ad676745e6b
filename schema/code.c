/* code.c - see code.h. */
#include "schema/code.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/elf_code.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/text.h"
#include "schema/code.sql.h"
#include "schema/kernel_code.h"

enum {
    MAX_FILES = 16,       /* kept open */
    MAX_CLOCK_STEP_S = 5, /* that the wall clock may have been set by since the run */
    UNSIZED_TAIL = 64     /* bytes taken after the last sampled address where a size is not known */
};

struct code_file {
    int64_t binary;             /* 0: none */
    struct elf_code *elf;       /* NULL: cannot be had, or is_dump */
    struct kernel_code *kernel; /* instead, for the kernel and its modules */
    bool is_dump;               /* a jitdump: code lies at file offsets of fd */
    bool is_found;              /* ... by its path: it may be another's */
    int fd;                     /* of is_dump only */
    struct err why;             /* why there is none of them */
    int64_t used;               /* the larger, the later */
};

struct code_reader {
    struct db *db;
    code_opener *opener;
    void *ctx;
    const struct kernel_files *kernel_files;
    bool without_dumps;
    struct code_file files[MAX_FILES];
    int64_t clock;
};

/* What is known of a function and its file. */
struct function {
    int64_t symbol, binary;
    uint64_t rel_address, size;
    char *name, *linkage_name, *path, *kind, *build_id;
    bool has_addresses;
    bool is_dumped; /* made at run time, its code is in a jitdump */
};

struct code_reader *code_reader_new(struct db *db, code_opener *opener, void *ctx)
{
    struct code_reader *r = mem_new(1, sizeof(*r));

    r->db = db;
    r->opener = opener;
    r->ctx = ctx;
    r->kernel_files = &kernel_files_here;
    return r;
}

void code_reader_refuse_dumps(struct code_reader *r)
{
    r->without_dumps = true;
}

static void file_close(struct code_file *file)
{
    elf_code_close(file->elf);
    kernel_code_close(file->kernel);
    if (file->is_dump) {
        fd_close(&file->fd);
    }
    *file = (struct code_file){0};
}

void code_reader_set_kernel(struct code_reader *r, const struct kernel_files *files)
{
    r->kernel_files = files;
}

void code_reader_free(struct code_reader *r)
{
    if (!r) {
        return;
    }
    for (size_t i = 0; i < MAX_FILES; i++) {
        file_close(&r->files[i]);
    }
    free(r);
}

static void function_fini(struct function *f)
{
    free(f->name);
    free(f->linkage_name);
    free(f->path);
    free(f->kind);
    free(f->build_id);
}

/* A size that is not known reaches a little past the last frame. */
static uint64_t guess_size(struct code_reader *r, int64_t symbol, uint64_t rel_address)
{
    struct stmt *s = db_stmt(r->db, &sql_code_last_frame);

    stmt_bind_int(s, code_last_frame_p_symbol, symbol);
    uint64_t last = stmt_next(s) ? (uint64_t)stmt_int(s, code_last_frame_c_rel_address) : 0;
    stmt_reset(s);
    return last >= rel_address ? last - rel_address + UNSIZED_TAIL : UNSIZED_TAIL;
}

static int read_function(struct code_reader *r, int64_t symbol, struct function *f, struct err *e)
{
    struct stmt *s = db_stmt(r->db, &sql_code_function);

    *f = (struct function){.symbol = symbol};
    stmt_bind_int(s, code_function_p_symbol, symbol);
    if (!stmt_next(s)) {
        int rc = db_status(r->db, e);
        return rc < 0 ? rc : err_set(e, STAX_ENOTFOUND, "this run has no such function");
    }
    f->binary = stmt_int(s, code_function_c_binary);
    f->rel_address = (uint64_t)stmt_int(s, code_function_c_rel_address);
    int64_t size = stmt_int(s, code_function_c_size);
    f->name = mem_strdup(stmt_text(s, code_function_c_name));
    f->linkage_name = mem_strdup(stmt_text(s, code_function_c_linkage_name));
    f->is_dumped = strcmp(stmt_text(s, code_function_c_source), "jitdump") == 0;
    f->path = mem_strdup(stmt_text(s, code_function_c_path));
    f->kind = mem_strdup(stmt_text(s, code_function_c_kind));
    f->build_id = mem_strdup(stmt_text(s, code_function_c_build_id));
    f->has_addresses = stmt_int(s, code_function_c_has_addresses) != 0;
    stmt_reset(s);
    f->size = size > 0 ? (uint64_t)size : guess_size(r, symbol, f->rel_address);
    return 0;
}

/* ---- files ---- */

static bool is_jitdump(int fd)
{
    static const char magic[] = "JiTD", swapped[] = "DTiJ"; /* in the byte order of the writer */
    char bytes[4];

    return pread(fd, bytes, sizeof(bytes), 0) == (ssize_t)sizeof(bytes) &&
           (memcmp(bytes, magic, sizeof(bytes)) == 0 || memcmp(bytes, swapped, sizeof(bytes)) == 0);
}

/* Takes fd. Whether it is what was mapped: by build id, else by being older than the mapping; a
 * jitdump grows, see is_in_dump(). */
static int open_checked(struct code_file *out, int fd, const struct stat *st,
                        const struct function *f, int64_t first_wall_ns, struct err *e)
{
    struct elf_code *elf = NULL;

    if (f->is_dumped && !is_jitdump(fd)) {
        fd_close(&fd);
        return err_set(e, STAX_ENOTFOUND, "%s is not a jitdump", f->path);
    }
    if (f->is_dumped) {
        out->is_dump = out->is_found = true;
        out->fd = fd;
        return 0;
    }
    int64_t changed_ns = (int64_t)st->st_ctim.tv_sec * 1000000000 + st->st_ctim.tv_nsec;
    int rc = elf_code_open(&elf, fd, 0, e);
    if (rc < 0) {
        return rc;
    }
    bool has_id = f->build_id[0] != '\0';
    if (has_id ? strcmp(f->build_id, elf_code_build_id(elf)) != 0 : changed_ns > first_wall_ns) {
        elf_code_close(elf);
        return err_set(e, STAX_ENOTFOUND, "%s is not the file that was recorded any more", f->path);
    }
    out->elf = elf;
    return 0;
}

static int open_path(struct code_file *out, const char *path, const struct function *f,
                     int64_t first_wall_ns, struct err *e)
{
    struct stat st;
    int fd = fd_open_regular(path, &st);

    if (fd == -EINVAL) {
        return err_set(e, STAX_ENOTFOUND, "%s is not a regular file", f->path);
    }
    return fd < 0 ? err_set_errno(e, -fd, "cannot read %s", f->path)
                  : open_checked(out, fd, &st, f, first_wall_ns, e);
}

/* The roots of the processes that mapped it, then the plain path. */
static int find_file(struct code_reader *r, struct code_file *out, const struct function *f,
                     struct err *e)
{
    struct stmt *s = db_stmt(r->db, &sql_code_mapped);
    struct buf path = {0};
    int64_t first_wall_ns = 0;
    int rc = err_set(e, STAX_ENOTFOUND, "%s is not a file", f->path);

    stmt_bind_int(s, code_mapped_p_binary, f->binary);
    while (f->path[0] == '/' && rc < 0 && stmt_next(s)) {
        int64_t pid = stmt_int(s, code_mapped_c_pid);
        int64_t wall_ns = stmt_int(s, code_mapped_c_first_wall_ns);
        first_wall_ns = !first_wall_ns || wall_ns < first_wall_ns ? wall_ns : first_wall_ns;
        buf_clear(&path);
        buf_addf(&path, "/proc/%lld/root%s", (long long)pid, f->path);
        rc = open_path(out, buf_str(&path), f, wall_ns, NULL);
    }
    stmt_reset(s);
    if (rc < 0 && f->path[0] == '/') {
        rc = open_path(out, f->path, f, first_wall_ns, e);
    }
    buf_free(&path);
    return rc;
}

/* Every process of a kernel maps the same vDSO: ours is read, if it is the recorded one. */
static int open_vdso(struct code_file *out, const struct function *f, struct err *e)
{
    struct elf_code *elf = NULL;
    int fd = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
    int rc = fd < 0 ? err_set_errno(e, errno, "cannot read the vDSO")
                    : elf_code_open(&elf, fd, getauxval(AT_SYSINFO_EHDR), e);

    if (rc == 0 && (!f->build_id[0] || strcmp(f->build_id, elf_code_build_id(elf)) != 0)) {
        elf_code_close(elf);
        return err_set(e, STAX_ENOTFOUND, "the vDSO of this kernel is not the recorded one");
    }
    out->elf = elf;
    return rc;
}

static int open_file(struct code_reader *r, struct code_file *out, const struct function *f,
                     struct err *e)
{
    if (strcmp(f->kind, "vdso") == 0) {
        return open_vdso(out, f, e);
    }
    if (!f->is_dumped && strcmp(f->kind, "main") != 0 && strcmp(f->kind, "shared") != 0) {
        return err_set(e, STAX_ENOTFOUND, "code that is in no file (%s) was not recorded", f->path);
    }
    int fd = r->opener ? r->opener(r->ctx, f->binary) : -1;
    if (fd >= 0 && f->is_dumped) {
        out->is_dump = true;
        out->fd = fd;
        return 0;
    }
    if (fd < 0 && f->is_dumped && r->without_dumps) {
        return err_set(e, STAX_ENOTFOUND, "an archive's word is not enough to read %s", f->path);
    }
    return fd >= 0 ? elf_code_open(&out->elf, fd, 0, e) : find_file(r, out, f, e);
}

static bool is_kernel(const struct function *f)
{
    return strcmp(f->kind, "kernel") == 0 || strcmp(f->kind, "module") == 0;
}

/* Modules lie elsewhere after each boot: only those of the boot that was recorded are there. */
static int open_kernel(struct code_reader *r, struct kernel_code **out, const struct function *f,
                       struct err *e)
{
    struct stmt *s = db_stmt(r->db, &sql_code_kernel);
    struct timespec wall, up;
    char *build_id = NULL, *release = NULL;
    int64_t boot_ns = 0;

    if (stmt_next(s)) {
        build_id = mem_strdup(stmt_text(s, code_kernel_c_build_id));
        release = mem_strdup(stmt_text(s, code_kernel_c_release));
        boot_ns = stmt_int(s, code_kernel_c_boot_wall_ns);
    }
    stmt_reset(s);
    int rc =
        kernel_code_open(out, r->kernel_files, build_id ? build_id : "", release ? release : "", e);
    free(build_id);
    free(release);
    clock_gettime(CLOCK_REALTIME, &wall);
    clock_gettime(CLOCK_MONOTONIC, &up);
    int64_t off_s = wall.tv_sec - up.tv_sec - boot_ns / 1000000000;
    bool is_same_boot = off_s > -MAX_CLOCK_STEP_S && off_s < MAX_CLOCK_STEP_S;
    if (rc == 0 && strcmp(f->kind, "module") == 0 && !(kernel_code_is_live(*out) && is_same_boot)) {
        kernel_code_close(*out);
        *out = NULL;
        rc = err_set(e, STAX_ENOTFOUND,
                     "the code of %s is only in /proc/kcore, until the next boot", f->path);
    }
    return rc;
}

/* The file of a binary, opened at most once; owned by r. */
static struct code_file *file_of(struct code_reader *r, const struct function *f)
{
    struct code_file *oldest = &r->files[0];

    for (size_t i = 0; i < MAX_FILES; i++) {
        struct code_file *file = &r->files[i];
        if (file->binary == f->binary) {
            file->used = ++r->clock;
            return file;
        }
        oldest = file->used < oldest->used ? file : oldest;
    }
    file_close(oldest);
    *oldest = (struct code_file){.binary = f->binary, .used = ++r->clock};
    if (is_kernel(f)) {
        open_kernel(r, &oldest->kernel, f, &oldest->why);
    } else if (open_file(r, oldest, f, &oldest->why) < 0) {
        oldest->elf = NULL;
    }
    return oldest;
}

/* In a jitdump a function's name stands before its code, with a NUL at its end. */
static bool is_in_dump(int fd, const struct function *f)
{
    size_t n = strlen(f->linkage_name) + 1, first;
    struct buf text = {0}, clean = {0};
    bool is_same = false;

    /* as it was written it is no longer than cleaned */
    if (n > 1 && n <= f->rel_address && n <= CODE_FUNCTION_MAX &&
        pread(fd, buf_room(&text, n), n, (off_t)(f->rel_address - n)) == (ssize_t)n) {
        buf_advance(&text, n);
        for (first = n - 1; first > 0 && text.data[first - 1]; first--) {
        }
        text_clean(&clean, text.data + first, n - 1 - first);
        is_same = !text.data[n - 1] && strcmp(buf_str(&clean), f->linkage_name) == 0;
    }
    buf_free(&text);
    buf_free(&clean);
    return is_same;
}

static int read_from_dump(const struct code_file *file, const struct function *f, size_t n,
                          struct code *code, struct err *e)
{
    if (file->is_found && !is_in_dump(file->fd, f)) {
        return err_set(e, STAX_ENOTFOUND, "%s is not the file that was recorded any more", f->path);
    }
    ssize_t got = pread(file->fd, buf_room(&code->bytes, n), n, (off_t)f->rel_address);
    if (got <= 0) {
        return err_set(e, STAX_ENOTFOUND, "%s does not hold the code yet", f->path);
    }
    buf_advance(&code->bytes, (size_t)got);
    return 0;
}

static int read_from_file(struct code_reader *r, const struct function *f, struct code *code,
                          struct err *e)
{
    struct code_file *file = file_of(r, f);
    uint64_t address = f->rel_address;

    code->is_cut = f->size > CODE_FUNCTION_MAX;
    size_t n = code->is_cut ? CODE_FUNCTION_MAX : (size_t)f->size;
    if (file->is_dump && f->is_dumped) {
        return read_from_dump(file, f, n, code, e);
    }
    if (!file->elf && !file->kernel) {
        if (e) {
            *e = file->why;
            e->code = e->code ? e->code : STAX_ENOTFOUND;
        }
        return file->why.code ? file->why.code : STAX_ENOTFOUND;
    }
    if (file->kernel) {
        return kernel_code_read(file->kernel, address, n, &code->bytes, e);
    }
    if (!f->has_addresses && !elf_code_address_of_offset(file->elf, f->rel_address, &address)) {
        return err_set(e, STAX_ENOTFOUND, "%s has no code at 0x%llx", f->path,
                       (unsigned long long)f->rel_address);
    }
    return elf_code_read(file->elf, address, n, &code->bytes, e);
}

static bool read_stored(struct code_reader *r, int64_t symbol, struct code *code)
{
    struct stmt *s = db_stmt(r->db, &sql_code_stored);
    size_t n;

    stmt_bind_int(s, code_stored_p_symbol, symbol);
    bool is_there = stmt_next(s);
    if (is_there) {
        const void *bytes = stmt_blob(s, code_stored_c_bytes, &n);
        n = n < CODE_FUNCTION_MAX ? n : CODE_FUNCTION_MAX; /* a foreign file may hold anything */
        code->rel_address = (uint64_t)stmt_int(s, code_stored_c_rel_address);
        buf_add(&code->bytes, bytes, n);
        code->is_stored = true;
        stmt_reset(s);
    }
    return is_there;
}

int code_read(struct code_reader *r, int64_t symbol, bool with_files, struct code *code,
              struct err *e)
{
    struct function f;

    *code = (struct code){0};
    int rc = read_function(r, symbol, &f, e);
    if (rc == 0) {
        code->rel_address = f.rel_address;
        if (read_stored(r, symbol, code)) {
            code->is_cut = code->bytes.len < f.size && code->bytes.len == CODE_FUNCTION_MAX;
        } else if (with_files) {
            rc = read_from_file(r, &f, code, e);
        } else {
            rc = err_set(e, STAX_ENOTFOUND, "this archive holds no code of the function");
        }
    }
    function_fini(&f);
    return rc < 0 ? rc : db_status(r->db, e);
}

bool code_address_of_offset(struct code_reader *r, int64_t binary, uint64_t offset,
                            uint64_t *address)
{
    struct stmt *s = db_stmt(r->db, &sql_code_binary);
    struct function f = {.binary = binary};

    stmt_bind_int(s, code_binary_p_binary, binary);
    if (!stmt_next(s)) {
        return false;
    }
    f.path = mem_strdup(stmt_text(s, code_binary_c_path));
    f.kind = mem_strdup(stmt_text(s, code_binary_c_kind));
    f.build_id = mem_strdup(stmt_text(s, code_binary_c_build_id));
    stmt_reset(s);
    const struct code_file *file = file_of(r, &f);
    bool is_there = file->elf && elf_code_address_of_offset(file->elf, offset, address);
    function_fini(&f);
    return is_there;
}

/* ---- storing ---- */

static void store_one(struct code_reader *r, int64_t symbol, int64_t max_bytes,
                      struct code_fill *fill)
{
    struct code code;

    if (code_read(r, symbol, true, &code, NULL) < 0 || code.bytes.len == 0) {
        fill->n_missing++;
    } else if ((int64_t)code.bytes.len > max_bytes - fill->n_bytes) {
        fill->n_over++;
    } else {
        struct stmt *s = db_stmt(r->db, &sql_code_insert);
        stmt_bind_int(s, code_insert_p_symbol, symbol);
        stmt_bind_int(s, code_insert_p_rel_address, (int64_t)code.rel_address);
        stmt_bind_blob(s, code_insert_p_bytes, code.bytes.data, code.bytes.len);
        stmt_run(s);
        fill->n_functions++;
        fill->n_bytes += (int64_t)code.bytes.len;
    }
    buf_free(&code.bytes);
}

/* Ids first: inserting while the statement that looks for gaps is open would move its ground. */
static int64_t *read_wanted(struct db *db, size_t *n)
{
    struct stmt *s = db_stmt(db, &sql_code_wanted);
    int64_t *symbols = NULL;
    size_t cap = 0;

    *n = 0;
    while (stmt_next(s)) {
        mem_reserve(&symbols, &cap, *n + 1, sizeof(*symbols));
        symbols[(*n)++] = stmt_int(s, code_wanted_c_symbol);
    }
    return symbols;
}

void code_totals(struct db *db, int64_t *n_functions, int64_t *n_bytes)
{
    struct stmt *s = db_stmt(db, &sql_code_totals);

    stmt_next(s);
    *n_functions = stmt_int(s, code_totals_c_n_functions);
    *n_bytes = stmt_int(s, code_totals_c_n_bytes);
    stmt_reset(s);
}

int code_fill(struct db *db, code_opener *opener, void *ctx, int64_t max_bytes,
              struct code_fill *fill, struct err *e)
{
    struct code_reader *r = code_reader_new(db, opener, ctx);
    size_t n;

    r->without_dumps = fill->without_dumps;
    *fill = (struct code_fill){.without_dumps = fill->without_dumps};
    max_bytes = max_bytes < CODE_RUN_MAX ? max_bytes : CODE_RUN_MAX;
    db_begin(db);
    code_totals(db, &fill->n_functions, &fill->n_bytes);
    int64_t *symbols = read_wanted(db, &n);
    for (size_t i = 0; i < n; i++) {
        store_one(r, symbols[i], max_bytes, fill);
    }
    free(symbols);
    code_reader_free(r);
    db_commit(db);
    return db_status(db, e);
}
