/*
 * code.h - machine code of the functions with samples, stored when a run ends, so that its archive
 * can be annotated where the binaries are not. On the ingest thread.
 */
#ifndef STAX_INGEST_CODE_H
#define STAX_INGEST_CODE_H

#include <stdint.h>

#include "ingest/binaries.h"
#include "ingest/intern.h"
#include "ingest/store.h"

/* Fills table code of a run whose samples are all committed, and names the functions that the code
 * calls. At most max_bytes. What cannot be stored is left out: code is read from its file then, as
 * long as that is there. */
void code_store(struct store *s, struct intern *in, struct binaries *b, int64_t max_bytes);

/* Calls take with every address that n bytes of code at an address may call or jump to: direct
 * calls and jumps, and bytes that look like one. arch as uname -m prints it. */
void code_targets(const char *arch, const uint8_t *bytes, size_t n, uint64_t address,
                  void (*take)(void *ctx, uint64_t target), void *ctx);

#endif
