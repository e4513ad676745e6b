/* out.c - see out.h. */
#include "cli/out.h"

#include <errno.h>
#include <stdlib.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/text.h"

static size_t width_of(int fd, bool is_terminal)
{
    const char *columns = getenv("COLUMNS");
    if (columns && *columns) {
        char *end;
        long n = strtol(columns, &end, 10);
        if (!*end && n > 0 && n < 100000) {
            return (size_t)n;
        }
    }
    struct winsize size;
    if (is_terminal && ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
        return size.ws_col;
    }
    return is_terminal ? 80 : 0;
}

void out_init(struct out *o, int fd)
{
    *o = (struct out){.fd = fd, .is_terminal = isatty(fd) == 1};
    const char *no_colour = getenv("NO_COLOR");
    const char *term = getenv("TERM");
    o->has_colour =
        o->is_terminal && !(no_colour && *no_colour) && term && *term && strcmp(term, "dumb") != 0;
    o->width = width_of(fd, o->is_terminal);
}

void out_fini(struct out *o)
{
    buf_free(&o->text);
}

const char *out_style(const struct out *o, enum style style)
{
    static const char *const escapes[] = {
        [STYLE_PLAIN] = "\033[0m", [STYLE_BOLD] = "\033[1m",    [STYLE_DIM] = "\033[2m",
        [STYLE_RED] = "\033[31m",  [STYLE_YELLOW] = "\033[33m", [STYLE_CYAN] = "\033[36m",
    };
    return o->has_colour ? escapes[style] : "";
}

void out_foreign(struct out *o, const char *s)
{
    text_clean(&o->text, s, strlen(s));
}

void out_foreign_cut(struct out *o, const char *s, size_t width)
{
    if (width == 0) {
        out_foreign(o, s);
        return;
    }
    struct buf clean = {0};
    text_clean(&clean, s, strlen(s));
    text_cut_name(&o->text, buf_str(&clean), width);
    buf_free(&clean);
}

void out_foreign_cut_end(struct out *o, const char *s, size_t width)
{
    struct buf clean = {0};
    text_clean(&clean, s, strlen(s));
    text_cut_end(&o->text, buf_str(&clean), width ? width : SIZE_MAX);
    buf_free(&clean);
}

void out_foreign_wrapped(struct out *o, const char *s, size_t column)
{
    struct buf clean = {0};
    text_clean(&clean, s, strlen(s));
    buf_addstr(&clean, " "); /* never NULL */
    char *rest = NULL;
    bool is_first = true;
    for (char *word = strtok_r(clean.data, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
        size_t width = text_width(word);
        bool is_over = o->width && column > 0 && column + width + !is_first > o->width;
        if (is_over) {
            buf_addch(&o->text, '\n');
            column = 0;
        } else if (!is_first) {
            buf_addch(&o->text, ' ');
            column++;
        }
        buf_addstr(&o->text, word);
        column += width;
        is_first = false;
    }
    buf_free(&clean);
}

int out_flush(struct out *o, struct err *e)
{
    int rc = fd_write_all(o->fd, buf_str(&o->text), o->text.len);
    buf_clear(&o->text);
    if (rc == 0 || rc == -EPIPE) {
        return 0;
    }
    return err_set_errno(e, -rc, "cannot write the output");
}
