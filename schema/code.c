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
#include "schema/code.sql.h"
#include "schema/kernel_code.h"

enum {
    MAX_FILES = 16,       /* kept open */
    MAX_CLOCK_STEP_S = 5, /* that the wall clock may have been set by since the run */
    UNSIZED_TAIL = 64     /* bytes taken after the last sampled address where a size is not known */
};

struct code_file {
    int64_t binary;             /* 0: none */
    struct elf_code *elf;       /* NULL: cannot be had */
    struct kernel_code *kernel; /* instead, for the kernel and its modules */
    struct err why;             /* then */
    int64_t used;               /* the larger, the later */
};

struct code_reader {
    struct db *db;
    code_opener *opener;
    void *ctx;
    const struct kernel_files *kernel_files;
    struct code_file files[MAX_FILES];
    int64_t clock;
};

/* What is known of a function and its file. */
struct function {
    int64_t symbol, binary;
    uint64_t rel_address, size;
    char *name, *path, *kind, *build_id;
    bool has_addresses;
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
        elf_code_close(r->files[i].elf);
        kernel_code_close(r->files[i].kernel);
    }
    free(r);
}

static void function_fini(struct function *f)
{
    free(f->name);
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
    f->path = mem_strdup(stmt_text(s, code_function_c_path));
    f->kind = mem_strdup(stmt_text(s, code_function_c_kind));
    f->build_id = mem_strdup(stmt_text(s, code_function_c_build_id));
    f->has_addresses = stmt_int(s, code_function_c_has_addresses) != 0;
    stmt_reset(s);
    f->size = size > 0 ? (uint64_t)size : guess_size(r, symbol, f->rel_address);
    return 0;
}

/* ---- files ---- */

/* Takes fd. Whether it is what was mapped: by build id, else by being older than the mapping. */
static int open_checked(struct elf_code **out, int fd, const struct function *f,
                        int64_t first_wall_ns, struct err *e)
{
    struct elf_code *elf = NULL;
    struct stat st;

    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        fd_close(&fd);
        return err_set(e, STAX_ENOTFOUND, "%s is not a regular file", f->path);
    }
    int64_t changed_ns = (int64_t)st.st_ctim.tv_sec * 1000000000 + st.st_ctim.tv_nsec;
    int rc = elf_code_open(&elf, fd, 0, e);
    if (rc < 0) {
        return rc;
    }
    bool has_id = f->build_id[0] != '\0';
    if (has_id ? strcmp(f->build_id, elf_code_build_id(elf)) != 0 : changed_ns > first_wall_ns) {
        elf_code_close(elf);
        return err_set(e, STAX_ENOTFOUND, "%s is not the file that was recorded any more", f->path);
    }
    *out = elf;
    return 0;
}

static int open_path(struct elf_code **out, const char *path, const struct function *f,
                     int64_t first_wall_ns, struct err *e)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

    return fd < 0 ? err_set_errno(e, errno, "cannot read %s", f->path)
                  : open_checked(out, fd, f, first_wall_ns, e);
}

/* The roots of the processes that mapped it, then the plain path. */
static int find_file(struct code_reader *r, struct elf_code **out, const struct function *f,
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
static int open_vdso(struct elf_code **out, const struct function *f, struct err *e)
{
    struct elf_code *elf = NULL;
    int fd = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
    int rc = fd < 0 ? err_set_errno(e, errno, "cannot read the vDSO")
                    : elf_code_open(&elf, fd, getauxval(AT_SYSINFO_EHDR), e);

    if (rc == 0 && (!f->build_id[0] || strcmp(f->build_id, elf_code_build_id(elf)) != 0)) {
        elf_code_close(elf);
        return err_set(e, STAX_ENOTFOUND, "the vDSO of this kernel is not the recorded one");
    }
    *out = elf;
    return rc;
}

static int open_file(struct code_reader *r, struct elf_code **out, const struct function *f,
                     struct err *e)
{
    if (strcmp(f->kind, "vdso") == 0) {
        return open_vdso(out, f, e);
    }
    if (strcmp(f->kind, "main") != 0 && strcmp(f->kind, "shared") != 0) {
        return err_set(e, STAX_ENOTFOUND, "code that is in no file (%s) was not recorded", f->path);
    }
    int fd = r->opener ? r->opener(r->ctx, f->binary) : -1;
    return fd >= 0 ? elf_code_open(out, fd, 0, e) : find_file(r, out, f, e);
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
    elf_code_close(oldest->elf);
    kernel_code_close(oldest->kernel);
    *oldest = (struct code_file){.binary = f->binary, .used = ++r->clock};
    if (is_kernel(f)) {
        open_kernel(r, &oldest->kernel, f, &oldest->why);
    } else if (open_file(r, &oldest->elf, f, &oldest->why) < 0) {
        oldest->elf = NULL;
    }
    return oldest;
}

static int read_from_file(struct code_reader *r, const struct function *f, struct code *code,
                          struct err *e)
{
    struct code_file *file = file_of(r, f);
    uint64_t address = f->rel_address;

    if (!file->elf && !file->kernel) {
        if (e) {
            *e = file->why;
            e->code = e->code ? e->code : STAX_ENOTFOUND;
        }
        return file->why.code ? file->why.code : STAX_ENOTFOUND;
    }
    code->is_cut = f->size > CODE_FUNCTION_MAX;
    size_t n = code->is_cut ? CODE_FUNCTION_MAX : (size_t)f->size;
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

    *fill = (struct code_fill){0};
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
