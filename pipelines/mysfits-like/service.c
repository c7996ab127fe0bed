/* The like service: counts likes, POST /mysfits/ID/like; a real server, small enough for an image
 * without a base. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MYSFITS = 12 };

static void answer(int peer, unsigned likes[MYSFITS])
{
    char request[2048];
    ssize_t got = read(peer, request, sizeof request - 1);
    if (got <= 0)
        return;
    request[got] = '\0';
    const char *status = "404 Not Found";
    char body[64] = "{\"error\": \"not found\"}\n";
    char *end = request;
    if (!strncmp(request, "GET / ", 6)) {
        status = "200 OK";
        snprintf(body, sizeof body, "{\"status\": \"healthy\"}\n");
    } else if (!strncmp(request, "POST /mysfits/", 14)) {
        unsigned long id = strtoul(request + 14, &end, 10);
        if (id < MYSFITS && !strncmp(end, "/like ", 6)) {
            status = "200 OK";
            snprintf(body, sizeof body, "{\"id\": %lu, \"likes\": %u}\n", id, ++likes[id]);
        }
    }
    dprintf(peer, "HTTP/1.0 %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
            status, strlen(body), body);
}

int main(void)
{
    unsigned likes[MYSFITS] = {0};
    signal(SIGPIPE, SIG_IGN);
    const char *text = getenv("PORT");
    long port = text ? strtol(text, NULL, 10) : 8080;
    struct sockaddr_in self = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    int on = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (listener < 0 || bind(listener, (struct sockaddr *)&self, sizeof self) ||
        listen(listener, 16)) {
        perror("like-service");
        return 1;
    }
    for (;;) {
        int peer = accept(listener, NULL, NULL);
        if (peer < 0)
            continue;
        answer(peer, likes);
        close(peer);
    }
}
