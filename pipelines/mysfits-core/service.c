/* The core service: answers with the list of mysfits; a real server, small enough for an image
 * without a base. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const char mysfits[] =
    "{\"mysfits\": ["
    "{\"id\": 1, \"name\": \"Evangeline\", \"species\": \"Chimera\"}, "
    "{\"id\": 2, \"name\": \"Pauly\", \"species\": \"Troll\"}, "
    "{\"id\": 3, \"name\": \"Twilight Glitter\", \"species\": \"Unicorn\"}]}\n";

static void answer(int peer)
{
    char request[2048];
    ssize_t got = read(peer, request, sizeof request - 1);
    if (got <= 0)
        return;
    request[got] = '\0';
    const char *status = "404 Not Found";
    const char *body = "{\"error\": \"not found\"}\n";
    if (!strncmp(request, "GET / ", 6)) {
        status = "200 OK";
        body = "{\"status\": \"healthy\"}\n";
    } else if (!strncmp(request, "GET /mysfits ", 13)) {
        status = "200 OK";
        body = mysfits;
    }
    dprintf(peer, "HTTP/1.0 %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
            status, strlen(body), body);
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    const char *text = getenv("PORT");
    long port = text ? strtol(text, NULL, 10) : 8080;
    struct sockaddr_in self = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    int on = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (listener < 0 || bind(listener, (struct sockaddr *)&self, sizeof self) ||
        listen(listener, 16)) {
        perror("core-service");
        return 1;
    }
    for (;;) {
        int peer = accept(listener, NULL, NULL);
        if (peer < 0)
            continue;
        answer(peer);
        close(peer);
    }
}
