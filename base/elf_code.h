/*
 * elf_code.h - machine code and build id of an ELF file, by address.
 *
 * Reads with pread only, what is asked for and no more, so that a file that is cut or written over
 * meanwhile gives wrong bytes at worst, never a signal. Every byte of the file is hostile. Only
 * 64-bit little-endian files for x86-64 and aarch64. One thread at a time.
 */
#ifndef STAX_BASE_ELF_CODE_H
#define STAX_BASE_ELF_CODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

struct elf_code;

/* Reads the headers. The image begins at byte base of fd: 0 for files, an address for
 * /proc/PID/mem. Takes fd (also on failure). Errors: STAX_ECORRUPT with what is wrong with it. */
int elf_code_open(struct elf_code **out, int fd, uint64_t base, struct err *e);
/* NULL is accepted. */
void elf_code_close(struct elf_code *c);

/* GNU build id in lower-case hex, "" if there is none. Owned by c. */
const char *elf_code_build_id(const struct elf_code *c);

/* The machine as uname -m prints it: "x86_64" or "aarch64". */
const char *elf_code_arch(const struct elf_code *c);

/* ELF virtual address of a file offset that executable code is mapped from. False: no code there.
 */
bool elf_code_address_of_offset(const struct elf_code *c, uint64_t offset, uint64_t *address);

/* The lowest address of executable code. False: it has none. */
bool elf_code_first_address(const struct elf_code *c, uint64_t *address);

/* Appends up to n bytes of executable code at an ELF virtual address, fewer at the end of its
 * segment. Returns 0, or STAX_ENOTFOUND: there is no code at that address in the file. */
int elf_code_read(const struct elf_code *c, uint64_t address, size_t n, struct buf *out,
                  struct err *e);

#endif
