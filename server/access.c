/* access.c - see access.h. */
#include "server/access.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

/* Takes the same time whatever differs, so that answers tell nothing about the token. */
static bool same_token(const char *expected, const char *given)
{
    unsigned difference = strlen(given) == ACCESS_TOKEN_CHARS ? 0 : 1;
    for (size_t i = 0; i < ACCESS_TOKEN_CHARS; i++) {
        char c = difference ? '\0' : given[i];
        difference |= (unsigned)(unsigned char)(expected[i] ^ c);
    }
    return difference == 0;
}

static bool is_our_host(const struct access_rules *rules, const char *local, const char *host)
{
    const char *names[] = {"127.0.0.1", "localhost", "[::1]", local};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char with_port[160];
        if (!names[i][0]) {
            continue; /* not known */
        }
        snprintf(with_port, sizeof(with_port), "%s:%d", names[i], rules->port);
        if (strcasecmp(host, with_port) == 0) {
            return true;
        }
        if (rules->port == 80 && strcasecmp(host, names[i]) == 0) {
            return true;
        }
    }
    return false;
}

int access_check(const struct access_rules *rules, const char *local, const struct http_head *head,
                 bool needs_token, struct err *e)
{
    if (!is_our_host(rules, local, head->host)) {
        err_set(e, STAX_EPERMISSION, "the Host header names another server");
        err_hint(e, "use http://%s:%d", local, rules->port);
        return 403;
    }
    if (head->has_origin) {
        char own[300];
        snprintf(own, sizeof(own), "http://%s", head->host);
        if (strcasecmp(own, head->origin) != 0) {
            err_set(e, STAX_EPERMISSION, "requests from pages of other origins are refused");
            return 403;
        }
    }
    if (needs_token && !same_token(rules->token, head->token)) {
        err_set(e, STAX_EPERMISSION, "the token is missing or wrong");
        err_hint(e, "send 'Authorization: Bearer TOKEN' with the token file of the data directory, "
                    "or use the Unix socket");
        return 401;
    }
    return 0;
}
