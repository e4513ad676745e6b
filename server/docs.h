/*
 * docs.h - docs/rpc.md, written from the method table. Pure.
 */
#ifndef STAX_SERVER_DOCS_H
#define STAX_SERVER_DOCS_H

#include "base/buf.h"
#include "server/method.h"

void docs_write(struct buf *out, const struct methods *methods);

#endif
