/* SPDX-License-Identifier: MIT */
/*
 * A small key-value store that dumps itself while it serves, by snapshot or by fork.
 *
 * usage: kvsnap PORT MIB [thread|signal]     (port 0: any; it is printed)
 *
 * It listens on 127.0.0.1 and speaks enough of the Redis protocol for redis-cli and
 * redis-benchmark: PING, SET, GET, DEL, INCR, DBSIZE, INFO, SHUTDOWN;
 * SAVE PATH writes the image and stops the world; BGSAVE PATH [fork|snapshot] [MIB/s]
 * does not.
 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "kvsnap.h"
#include "store.h"

#define MAX_CLIENTS 128
#define MAX_ARGS 16

struct cowtrace_heap *kv_heap;
struct store *kv_store;
static struct client *clients[MAX_CLIENTS];
static struct pollfd fds[MAX_CLIENTS + 1];

/* One line that begins with this letter: its number; -1: not there yet, -2: wrong. */
static long number(char **at, char *end, char letter)
{
	char *eol = memchr(*at, '\n', (size_t)(end - *at));
	long n;

	if (!eol)
		return -1;
	if (**at != letter)
		return -2;
	n = atol(*at + 1);
	*at = eol + 1;
	return n < 0 || n > (long)BUF_LEN ? -2 : n;
}

/* Takes one command off the input: 1, 0 (not complete), or -1 (no such protocol). */
static int parse_one(struct client *c, char **at)
{
	char *p = *at, *end = c->in + c->in_len;
	struct arg a[MAX_ARGS];
	long nr = number(&p, end, '*'), len;

	if (nr < 0)
		return nr == -1 ? 0 : -1;
	if (nr == 0 || nr > MAX_ARGS)
		return -1;
	for (long i = 0; i < nr; i++) {
		len = number(&p, end, '$');
		if (len < 0)
			return len == -1 ? 0 : -1;
		if (end - p < len + 2)
			return 0;
		a[i] = (struct arg){ p, (size_t)len };
		p += len + 2;
	}
	for (long i = 0; i < nr; i++)
		a[i].p[a[i].len] = '\0';
	kv_command(c, a, (size_t)nr);
	*at = p;
	return 1;
}

static bool serve(struct client *c, int fd)
{
	ssize_t n = read(fd, c->in + c->in_len, BUF_LEN - c->in_len);
	char *at = c->in;
	int more = 1;

	if (n <= 0)
		return false;
	c->in_len += (size_t)n;
	while (more > 0 && c->out_len < BUF_LEN / 2 && at < c->in + c->in_len)
		more = parse_one(c, &at);
	c->in_len -= (size_t)(at - c->in);
	memmove(c->in, at, c->in_len);
	for (size_t done = 0; done < c->out_len; done += (size_t)n) {
		n = write(fd, c->out + done, c->out_len - done);
		if (n <= 0)
			return false;
	}
	c->out_len = 0;
	return more >= 0 && c->in_len < BUF_LEN;
}

static void accept_one(int listener)
{
	int fd = accept(listener, NULL, NULL), on = 1, i = 0;

	while (i < MAX_CLIENTS && clients[i])
		i++;
	if (fd < 0 || i == MAX_CLIENTS || !(clients[i] = calloc(1, sizeof(**clients)))) {
		close(fd);
		return;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	fds[i + 1] = (struct pollfd){ fd, POLLIN, 0 };
}

static int listen_on(unsigned int port)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
				 .sin_port = htons((uint16_t)port),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (fd < 0 || bind(fd, (struct sockaddr *)&a, len) || listen(fd, 64) ||
	    getsockname(fd, (struct sockaddr *)&a, &len))
		return -1;
	printf("kvsnap: port %u\n", ntohs(a.sin_port));
	fflush(stdout);
	return fd;
}

int main(int argc, char **argv)
{
	struct cowtrace_heap_opts o = { .sz = sizeof(o), .flags = COWTRACE_HEAP_DENSE_WRITES };
	int listener, err;

	if (argc < 3) {
		fprintf(stderr, "usage: kvsnap PORT MIB [thread|signal]\n");
		return 2;
	}
	if (argc > 3 && !strcmp(argv[3], "signal"))
		o.serve = COWTRACE_SERVE_SIGNAL;
	signal(SIGPIPE, SIG_IGN);
	err = cowtrace_heap_create(strtoul(argv[2], NULL, 10) << 20, &o, &kv_heap);
	if (err) {
		fprintf(stderr, "kvsnap: %s\n", cowtrace_strerror(err));
		return 1;
	}
	kv_store = cowtrace_heap_base(kv_heap);
	store_init(kv_store, cowtrace_heap_len(kv_heap));
	listener = listen_on((unsigned int)atoi(argv[1]));
	if (listener < 0) {
		perror("kvsnap: listen");
		return 1;
	}
	for (int i = 0; i <= MAX_CLIENTS; i++)
		fds[i] = (struct pollfd){ i ? -1 : listener, POLLIN, 0 };
	for (;;) {
		poll(fds, MAX_CLIENTS + 1, -1);
		if (fds[0].revents)
			accept_one(listener);
		for (int i = 0; i < MAX_CLIENTS; i++) {
			if (!clients[i] || !fds[i + 1].revents || serve(clients[i], fds[i + 1].fd))
				continue;
			close(fds[i + 1].fd);
			fds[i + 1].fd = -1;
			free(clients[i]);
			clients[i] = NULL;
		}
	}
}
