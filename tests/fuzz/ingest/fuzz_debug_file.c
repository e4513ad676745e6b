/*
 * fuzz_debug_file.c - a binary and its separate debug file, both hostile: taken together, and
 * looked for by link and checksum. The first two bytes say where the one ends and the other begins.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "ingest/debug_files.h"
#include "ingest/names.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

static int file_of(const char *path, const uint8_t *data, size_t n_bytes)
{
    int fd = path ? open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600)
                  : memfd_create("fuzz", MFD_CLOEXEC);
    if (fd < 0 || fd_write_all(fd, data, n_bytes) != 0) {
        abort();
    }
    return fd;
}

static void look_up(const struct names *n)
{
    struct names_symbol s;
    for (uint64_t a = 0; a < 0x4000; a += 11) {
        if (names_find(n, a, &s) && (a < s.start || a - s.start >= s.size)) {
            abort();
        }
    }
    if (names_bytes(n) > 64 << 20) {
        abort();
    }
}

/* The debug file lies where the link of the binary, if it has one, says. */
static void search(const struct names *n, const char *folder)
{
    char path[96];
    uint32_t crc;
    struct debug_found found;
    snprintf(path, sizeof(path), "%s/binary", folder);
    const char *link = names_debug_link(n, &crc);
    const struct debug_wanted wanted = {
        .path = path,
        .build_id = names_build_id(n),
        .link = link ? "debug" : NULL,
        .link_crc = crc,
    };
    debug_files_find(&wanted, &found);
    fd_close(&found.fd);
    free(found.path);
    free(found.note);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    char folder[64], path[96];
    if (n_bytes < 2) {
        return 0;
    }
    size_t split = ((size_t)data[0] << 8 | data[1]) % (n_bytes - 1);
    const uint8_t *debug = data + 2 + (split < n_bytes - 2 ? split : n_bytes - 2);
    snprintf(folder, sizeof(folder), "/dev/shm/stax-fuzz-debug-%d", (int)getpid());
    mkdir(folder, 0700);
    setenv("STAX_DEBUG_DIRS", folder, 1);
    snprintf(path, sizeof(path), "%s/debug", folder);
    int fd = file_of(NULL, data + 2, (size_t)(debug - data) - 2);
    int debug_fd = file_of(path, debug, n_bytes - (size_t)(debug - data));
    struct names *n;
    if (names_open_elf_debug(&n, fd, debug_fd, NAMES_DEBUG_FILE, NULL) == 0) {
        look_up(n);
        search(n, folder);
        names_close(n);
    }
    debug_files_is_build(debug_fd, "0123456789abcdef");
    close(fd);
    close(debug_fd);
    unlink(path);
    rmdir(folder);
    return 0;
}
