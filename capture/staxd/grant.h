/*
 * grant.h - carries out one request: checks it and its target, opens what was granted.
 *
 * Holds nothing between calls; any thread.
 */
#ifndef STAX_CAPTURE_STAXD_GRANT_H
#define STAX_CAPTURE_STAXD_GRANT_H

#include <stddef.h>

#include "capture/staxd/policy.h"

/* One message as it came. */
struct grant_message {
    struct broker_request request;
    size_t n_bytes; /* its real length, also where it is longer than a request */
    size_t n_fds;   /* how many descriptors came along */
    int pidfd;      /* the one of them that was taken, -1 if none; borrowed */
};

/* Answers a message. answer is complete; the n_fds descriptors in fds (room for BROKER_FDS_MAX) are
 * the caller's to send and to close. */
void grant(const struct policy_caller *caller, const struct grant_message *message,
           struct broker_answer *answer, int *fds);

/* Closes all descriptors of an answer and makes it a refusal. */
void grant_revoke(struct broker_answer *answer, int *fds, enum broker_status status, int os_errno);

#endif
