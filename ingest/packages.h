/*
 * packages.h - which package a file came in, as dpkg's lists say (/var/lib/dpkg/info/NAME.list).
 *
 * The lists are read as data, once for each root, which may take as long as the disk takes; what no
 * ELF file lies under (/usr/share, /etc) is left out. One thread at a time.
 */
#ifndef STAX_INGEST_PACKAGES_H
#define STAX_INGEST_PACKAGES_H

#include <stddef.h>

struct packages;

struct packages *packages_new(void);
/* NULL is accepted. */
void packages_free(struct packages *p);
/* The name of the package ("libc6", without architecture) that owns path in a root ("": ours);
 * NULL: none, or there are no such lists. Owned by p. */
const char *packages_owner(struct packages *p, const char *root, const char *path);
size_t packages_bytes(const struct packages *p);

#endif
