/* SPDX-License-Identifier: MIT */
/*
 * Writing a snapshot out.
 *
 * To a regular file, pages go from where they lie: the kernel copies them, we do not.
 * If a writer came to one meanwhile, the file may have got some of its new content;
 * then that page is written again, from its slot.  What cannot be written again (a
 * pipe, a socket, a file that appends) gets copies.
 *
 * What holds always: no writer waits for any of this.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "snapshot/content.h"
#include "snapshot/map.h"

#define PIECE_PAGES 256

struct output {
	struct cowtrace_snapshot *snap;
	const struct cowtrace_write_opts *opts;
	int fd;
	bool again; /* what was written can be written again, at this place */
	off_t place;
	char *bounce; /* PIECE_PAGES */
	u32 crc;
	u64 began_ns;
};

static int wait_writable(int fd)
{
	struct pollfd p = { fd, POLLOUT, 0 };

	while (poll(&p, 1, -1) < 0)
		if (errno != EINTR)
			return -errno;
	return 0;
}

/* What a write returned: goes on with 0, or gives up. */
static int write_error(int fd, ssize_t n)
{
	if (n > 0 || errno == EINTR)
		return 0;
	if (n == 0)
		return -EIO;
	return errno == EAGAIN ? wait_writable(fd) : -errno;
}

static int write_all(int fd, const char *buf, size_t len)
{
	while (len) {
		ssize_t n = write(fd, buf, len);
		int err = write_error(fd, n);

		if (err)
			return err;
		if (n > 0) {
			buf += n;
			len -= (size_t)n;
		}
	}
	return 0;
}

/* Drops the first len bytes of the vector. */
static size_t advance(struct iovec **iov, size_t nr, size_t len)
{
	while (nr && len >= (*iov)->iov_len) {
		len -= (*iov)->iov_len;
		(*iov)++;
		nr--;
	}
	if (nr) {
		(*iov)->iov_base = (char *)(*iov)->iov_base + len;
		(*iov)->iov_len -= len;
	}
	return nr;
}

static int pwritev_all(int fd, struct iovec *iov, size_t nr, off_t place)
{
	while (nr) {
		ssize_t n = pwritev(fd, iov, (int)nr, place);
		int err = write_error(fd, n);

		if (err)
			return err;
		if (n > 0) {
			place += n;
			nr = advance(&iov, nr, (size_t)n);
		}
	}
	return 0;
}

/* Where a page of the snapshot lies now. */
static char *source(struct cowtrace_snapshot *s, u64 page)
{
	u32 slot = ct_snap_slot(s, page);

	return slot == CT_SNAP_SLOT_NONE ? ct_snap_page_addr(s->heap, page)
					 : ct_snap_store_at(&s->heap->store, slot);
}

/* The pages' places, neighbours in one; @live: which of them are the heap's own. */
static size_t gather(struct cowtrace_snapshot *s, u64 page, u64 end, struct iovec *iov, u64 *live)
{
	size_t nr = 0;

	memset(live, 0, PIECE_PAGES / 8);
	for (u64 p = page; p < end; p++) {
		char *from = source(s, p);

		if (from == ct_snap_page_addr(s->heap, p))
			live[(p - page) / 64] |= 1ULL << ((p - page) % 64);
		if (nr && (char *)iov[nr - 1].iov_base + iov[nr - 1].iov_len == from)
			iov[nr - 1].iov_len += CT_PAGE_SIZE;
		else
			iov[nr++] = (struct iovec){ from, CT_PAGE_SIZE };
	}
	return nr;
}

static u32 crc_of(u32 crc, const struct iovec *iov, size_t nr)
{
	for (size_t i = 0; i < nr; i++)
		crc = cowtrace_crc32c(crc, iov[i].iov_base, iov[i].iov_len);
	return crc;
}

/* Writes again what is not live any more; *ret_moved: whether there was any. */
static int repair(struct output *o, u64 page, u64 end, const u64 *live, bool *ret_moved)
{
	struct cowtrace_snapshot *s = o->snap;

	*ret_moved = false;
	ct_snap_reading_done();
	for (u64 p = page; p < end; p++) {
		struct iovec iov = { NULL, CT_PAGE_SIZE };
		int err;

		if (!(live[(p - page) / 64] >> ((p - page) % 64) & 1) || ct_snap_is_live(s, p))
			continue;
		iov.iov_base = source(s, p);
		err = pwritev_all(o->fd, &iov, 1, o->place + (off_t)ct_addr_of(p));
		if (err)
			return err;
		ct_snap_count(&s->heap->count.reread_pages, 1);
		*ret_moved = true;
	}
	return ct_snap_still_held(s);
}

/* The checksum of pages of which some have just moved: until none moves meanwhile. */
static int crc_again(struct output *o, u64 page, u64 end)
{
	size_t len = (end - page) << CT_PAGE_SHIFT;
	int err = ct_snap_read(o->snap, ct_addr_of(page), o->bounce, len);

	if (!err)
		o->crc = cowtrace_crc32c(o->crc, o->bounce, len);
	return err;
}

static int piece_in_place(struct output *o, u64 page, u64 end)
{
	struct iovec iov[PIECE_PAGES];
	u64 live[PIECE_PAGES / 64];
	bool want_crc = o->opts->ret_crc, moved;
	size_t nr = gather(o->snap, page, end, iov, live);
	u32 crc = 0;
	int err;

	err = pwritev_all(o->fd, iov, nr, o->place + (off_t)ct_addr_of(page));
	if (err)
		return err;
	if (want_crc) {
		/* The vector was used up by the writing. */
		nr = gather(o->snap, page, end, iov, live);
		crc = crc_of(o->crc, iov, nr);
		/* All that may have moved since the first gathering is to be looked at. */
		memset(live, 0xff, sizeof(live));
	}
	err = repair(o, page, end, live, &moved);
	if (err || !want_crc)
		return err;
	if (moved)
		return crc_again(o, page, end);
	o->crc = crc;
	return 0;
}

static int piece_by_copy(struct output *o, u64 page, u64 end)
{
	size_t len = (end - page) << CT_PAGE_SHIFT;
	int err = ct_snap_read(o->snap, ct_addr_of(page), o->bounce, len);

	if (err)
		return err;
	if (o->opts->ret_crc)
		o->crc = cowtrace_crc32c(o->crc, o->bounce, len);
	return write_all(o->fd, o->bounce, len);
}

/* Sleeps as long as done bytes are more than may have been written by now. */
static void keep_rate(const struct output *o, u64 done)
{
	u64 due, now;

	if (!o->opts->bytes_per_s)
		return;
	due = o->began_ns + (u64)((double)done / (double)o->opts->bytes_per_s * 1e9);
	now = ct_now_ns();
	if (due > now) {
		struct timespec ts = { (time_t)((due - now) / CT_NSEC_PER_SEC),
				       (long)((due - now) % CT_NSEC_PER_SEC) };

		nanosleep(&ts, NULL);
	}
}

static u64 piece_pages(const struct output *o)
{
	/* A twentieth of a second's worth. */
	u64 pages = o->opts->bytes_per_s / 20 / CT_PAGE_SIZE;

	if (!o->opts->bytes_per_s || pages > PIECE_PAGES)
		return PIECE_PAGES;
	return pages ? pages : 1;
}

static int write_pages(struct output *o)
{
	struct cowtrace_heap *h = o->snap->heap;
	u64 step = piece_pages(o);
	int err = 0;

	for (u64 page = 0; !err && page < h->nr_pages; page += step) {
		u64 end = ct_min(page + step, h->nr_pages);

		err = o->again ? piece_in_place(o, page, end) : piece_by_copy(o, page, end);
		if (err)
			break;
		keep_rate(o, ct_addr_of(end));
		if (o->opts->progress)
			err = o->opts->progress(o->opts->arg, ct_addr_of(end), h->len);
	}
	return err;
}

/* Can a page be written a second time, to where it was? */
static void look_at_fd(struct output *o)
{
	struct stat st;
	int flags = fcntl(o->fd, F_GETFL);

	o->place = lseek(o->fd, 0, SEEK_CUR);
	o->again = o->place >= 0 && flags >= 0 && !(flags & O_APPEND) && !fstat(o->fd, &st) &&
		   S_ISREG(st.st_mode);
}

static int write_snapshot(struct cowtrace_snapshot *snap, int fd,
			  const struct cowtrace_write_opts *opts)
{
	struct output o = { .snap = snap, .opts = opts, .fd = fd, .began_ns = ct_now_ns() };
	int err;

	look_at_fd(&o);
	if (!o.again || opts->ret_crc) {
		o.bounce = ct_snap_map_table(PIECE_PAGES * CT_PAGE_SIZE);
		if (!o.bounce)
			return -ENOMEM;
	}
	err = write_pages(&o);
	ct_snap_unmap(o.bounce, PIECE_PAGES * CT_PAGE_SIZE);
	if (!err && o.again && lseek(fd, o.place + (off_t)snap->heap->len, SEEK_SET) < 0)
		err = -errno;
	if (!err && opts->ret_crc)
		*opts->ret_crc = o.crc;
	return err;
}

int cowtrace_snapshot_write_fd(struct cowtrace_snapshot *snap, int fd,
			       const struct cowtrace_write_opts *opts)
{
	struct cowtrace_write_opts o = { .sz = sizeof(o) };
	int saved = errno, err = ct_snap_get(snap);

	if (err)
		return err;
	if (opts && (opts->sz < sizeof(size_t) || opts->sz > sizeof(o)))
		err = -EINVAL;
	else if (opts)
		memcpy(&o, opts, opts->sz);
	if (!err)
		err = write_snapshot(snap, fd, &o);
	ct_snap_put(snap);
	errno = saved;
	return err;
}
