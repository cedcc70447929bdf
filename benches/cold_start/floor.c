/* A program with the shortest possible start. It binds $PORT of the loopback interface, and sends the same response
   to each request. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const char response[] =
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 16\r\n\r\n"
    "{\"prediction\":1}";

/* Reads up to the empty line after the headers. Returns 0 if the client has disconnected, or sends too much. */
static int request(int client) {
    static char buffer[4096];
    size_t length = 0;
    while (length < sizeof buffer - 1) {
        ssize_t count = read(client, buffer + length, sizeof buffer - 1 - length);
        if (count <= 0)
            return 0;
        length += (size_t)count;
        buffer[length] = 0;
        if (strstr(buffer, "\r\n\r\n"))
            return 1;
    }
    return 0;
}

int main(void) {
    const char *port = getenv("PORT");
    struct sockaddr_in address = {.sin_family = AF_INET};
    int on = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
    address.sin_port = htons((unsigned short)atoi(port ? port : "5000"));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 64))
        return 1;
    for (;;) {
        int client = accept(listener, 0, 0);
        while (client >= 0 && request(client) && write(client, response, sizeof response - 1) > 0)
            ;
        close(client);
    }
}
