/*
 * kernel_code.h - the machine code of the kernel that runs here: from /proc/kcore, else from a
 * vmlinux of the same build.
 *
 * Only where it is the recorded kernel, by its build id. Every byte of the files is taken for
 * hostile. One thread at a time.
 */
#ifndef STAX_SCHEMA_KERNEL_CODE_H
#define STAX_SCHEMA_KERNEL_CODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

struct kernel_code;

/* Where to look; all of it may be missing. */
struct kernel_files {
    const char *kcore, *kallsyms, *notes;
    const char *const *vmlinux; /* ended by NULL; "%s" in them is the release */
};
extern const struct kernel_files kernel_files_here;

/* build_id: of the recorded kernel, "": not known, which no file is then taken for. release: of the
 * recorded kernel, as uname -r prints it. Errors: STAX_ENOTFOUND with what would help. */
int kernel_code_open(struct kernel_code **out, const struct kernel_files *files,
                     const char *build_id, const char *release, struct err *e);
/* NULL is accepted. */
void kernel_code_close(struct kernel_code *k);

/* Whether it is memory of the kernel that runs: modules are there too. */
bool kernel_code_is_live(const struct kernel_code *k);
/* Appends up to n bytes at an address relative to the kernel's own first function. Errors:
 * STAX_ENOTFOUND. */
int kernel_code_read(const struct kernel_code *k, uint64_t rel_address, size_t n, struct buf *out,
                     struct err *e);

/* Appends the GNU build id among ELF notes in hex; nothing if there is none. */
void kernel_code_build_id(const uint8_t *notes, size_t n, struct buf *out);

#endif
