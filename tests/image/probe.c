/* A program for an empty image. Without arguments it is a server, whose start time is a lower bound for the start time
   of any container. With arguments it shows whether the engine enforces limits of memory and processor time. */
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* Responds to each request with 200. */
static int serve(void) {
    static const char response[] =
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(5000)};
    int listener = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 16)) {
        perror("cannot listen on port 5000");
        return 1;
    }
    for (;;) {
        char request[4096];
        int client = accept(listener, NULL, NULL);
        if (client >= 0 && read(client, request, sizeof request) > 0)
            write(client, response, sizeof response - 1);
        close(client);
    }
}

/* Allocates this many MiB of memory, and writes to them. */
static int fill(size_t mebibytes) {
    for (size_t i = 0; i < mebibytes; i++) {
        char *memory = malloc(1 << 20);
        if (!memory) {
            fprintf(stderr, "no memory after %zu MiB\n", i);
            return 1;
        }
        memset(memory, 1, 1 << 20);
        *(volatile char *)memory;
    }
    printf("wrote to %zu MiB\n", mebibytes);
    return 0;
}

static double now(clockid_t clock) {
    struct timespec time;
    clock_gettime(clock, &time);
    return time.tv_sec + time.tv_nsec / 1e9;
}

/* Uses as much processor time as it gets. Prints the processor time as a percentage of one core. */
static int spin(double seconds) {
    double start = now(CLOCK_MONOTONIC), elapsed;
    do
        elapsed = now(CLOCK_MONOTONIC) - start;
    while (elapsed < seconds);
    printf("%.0f\n", 100 * now(CLOCK_PROCESS_CPUTIME_ID) / elapsed);
    return 0;
}

int main(int count, char **arguments) {
    if (count == 1)
        return serve();
    if (count == 3 && !strcmp(arguments[1], "fill"))
        return fill(strtoul(arguments[2], NULL, 10));
    if (count == 3 && !strcmp(arguments[1], "spin"))
        return spin(strtod(arguments[2], NULL));
    fprintf(stderr, "usage: probe [fill MEBIBYTES | spin SECONDS]\n");
    return 64;
}
