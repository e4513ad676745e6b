/*
 * names_memory.c - what the memory of a process still has of a mapped file that is gone (names.h).
 *
 * Headers, build id, code and .eh_frame are mapped; symbol tables and section headers are not. Only
 * mappings that cannot be written are read: others are not what the file had.
 */
#include <fcntl.h>
#include <elf.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "ingest/names.h"

enum { MAX_MAPS_BYTES = 16 << 20, MAX_IMAGE_BYTES = 64 << 20 };

/* A line of /proc/PID/maps. */
struct range {
    uint64_t start, end, offset, inode;
    unsigned major, minor;
    char access[5];
};

static bool read_range(const char *line, struct range *r)
{
    return sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s %" SCNx64 " %x:%x %" SCNu64, &r->start,
                  &r->end, r->access, &r->offset, &r->major, &r->minor, &r->inode) == 7 &&
           r->start < r->end;
}

/* The range of the maps that holds address. */
static bool find_range(const char *maps, uint64_t address, struct range *found)
{
    for (const char *line = maps; line && *line;) {
        if (read_range(line, found) && address >= found->start && address < found->end) {
            return true;
        }
        line = strchr(line, '\n');
        line = line ? line + 1 : NULL;
    }
    return false;
}

static bool is_of_file(const struct range *r, const struct range *file)
{
    return r->inode == file->inode && r->major == file->major && r->minor == file->minor &&
           r->access[0] == 'r' && r->access[1] != 'w' && r->offset < MAX_IMAGE_BYTES &&
           r->end - r->start <= MAX_IMAGE_BYTES - r->offset;
}

/* Puts what is mapped of a file where it is in the file. */
static void read_image(const char *maps, int memory, const struct range *file, struct buf *image)
{
    for (const char *line = maps; line && *line;) {
        struct range r;
        if (read_range(line, &r) && is_of_file(&r, file)) {
            size_t size = (size_t)(r.end - r.start), end = (size_t)r.offset + size;
            if (end > image->len) {
                size_t more = end - image->len;
                memset(buf_room(image, more), 0, more);
                buf_advance(image, more);
            }
            size_t n = 0;
            ssize_t got = 1;
            while (n < size && got > 0) {
                got = pread(memory, image->data + r.offset + n, size - n, (off_t)(r.start + n));
                n += got > 0 ? (size_t)got : 0;
            }
        }
        line = strchr(line, '\n');
        line = line ? line + 1 : NULL;
    }
}

/* Section headers lie behind what is mapped; what is at their place now is none. */
static void clear_sections(struct buf *image)
{
    Elf64_Ehdr h;
    Elf32_Ehdr h32;
    if (image->len < sizeof(h)) {
        return;
    }
    if (image->data[EI_CLASS] == ELFCLASS32) {
        memcpy(&h32, image->data, sizeof(h32));
        h32.e_shoff = h32.e_shnum = h32.e_shstrndx = 0;
        memcpy(image->data, &h32, sizeof(h32));
    } else {
        memcpy(&h, image->data, sizeof(h));
        h.e_shoff = h.e_shnum = h.e_shstrndx = 0;
        memcpy(image->data, &h, sizeof(h));
    }
}

int names_open_memory(struct names **out, int pid, uint64_t address, uint64_t inode, struct err *e)
{
    char path[64];
    struct buf maps = {0}, image = {0};
    struct range file;
    *out = NULL;
    snprintf(path, sizeof(path), "/proc/%d/maps", pid);
    fd_read_file(path, MAX_MAPS_BYTES, &maps);
    int rc = err_set(e, STAX_ENOTFOUND, "the file is not mapped any more");
    if (find_range(buf_str(&maps), address, &file) && file.inode == inode && inode) {
        snprintf(path, sizeof(path), "/proc/%d/mem", pid);
        int memory = open(path, O_RDONLY | O_CLOEXEC);
        if (memory >= 0) {
            read_image(buf_str(&maps), memory, &file, &image);
        }
        fd_close(&memory);
        clear_sections(&image);
        rc = image.len ? names_open_elf_image(out, image.data, image.len, e)
                       : err_set(e, STAX_EPERMISSION, "the process's memory cannot be read");
    }
    buf_free(&image);
    buf_free(&maps);
    return rc;
}
