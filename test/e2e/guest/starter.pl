# Starts a guest kernel and, when asked, its network, and makes sure that nothing outlives the driver.
#
#   perl starter.pl LIMIT_SECONDS NETWORK(0|1) PROGRAM [ARGUMENT...]
#
# Descriptors: 1 and 2 the guest's console, 3 the guest's second console (kept for PROGRAM), 4 a stream socket to the
# driver. `{net}` in an argument becomes the number of PROGRAM's network descriptor.
# From the driver, one word a line: `cut` and `mend` stop and continue the network, `kill` cuts the power.
# End of file there means the driver is gone: everything is killed.
# To the driver: `pid N`, then `exit CODE SIGNAL REASON` (REASON: ended, killed, limit, driver).
use strict;
use warnings;
use Socket;
use POSIX ();

$^F = 1023;    # descriptors stay open over exec; each child closes what is not its own
my ($limit, $network, @program) = @ARGV;
my $deadline = time + $limit;
open(my $driver, '+<&=', 4) or die "starter: no descriptor 4: $!\n";
my ($near, $far);
my ($guest, $helper) = (0, 0);
my ($status, $dead) = (0, 0);

# Orphans of the guest's kernel come to us instead of init: prctl(PR_SET_CHILD_SUBREAPER), on x86-64.
syscall(157, 36, 1, 0, 0, 0) == 0 or die "starter: prctl: $!\n";

sub child {
    my ($close, @command) = @_;
    my $pid = fork;
    die "starter: fork: $!\n" unless defined $pid;
    if ($pid) { setpgrp($pid, $pid); return $pid }
    setpgrp(0, 0);
    POSIX::close($_) for 4, @$close;
    exec { $command[0] } @command or POSIX::_exit(127);
}

sub reap {
    while ((my $pid = waitpid -1, POSIX::WNOHANG()) > 0) {
        ($status, $dead) = ($?, 1) if $pid == $guest;
    }
}

if ($network) {
    socketpair($near, $far, AF_UNIX, SOCK_DGRAM, 0) or die "starter: socketpair: $!\n";
    for my $end ($near, $far) { setsockopt($end, SOL_SOCKET, $_, pack 'i', 1 << 20) for SO_SNDBUF, SO_RCVBUF }
    $helper = child([3, fileno $far],
        'libslirp-helper', '--fd', fileno $near, '--net', '10.0.2.0/24', '--disable-ipv6');
    my $descriptor = fileno $far;
    s/\{net\}/$descriptor/ for @program;
}
$guest = child([$network ? fileno $near : ()], @program);
POSIX::close(3);
if ($network) { close $near; close $far }

# Should this process itself be killed, a second one does the killing: the kernel's helper processes would stay.
pipe(my $starter_gone, my $starter) or die "starter: pipe: $!\n";
my $second = fork;
die "starter: fork: $!\n" unless defined $second;
if (!$second) {
    setpgrp(0, 0);
    close $starter;
    close $driver;
    if (!sysread $starter_gone, my $done, 1) { kill 'KILL', map { -$_ } grep { $_ } $guest, $helper }
    POSIX::_exit(0);
}
close $starter_gone;
syswrite $driver, "pid $guest\n";

my $reason = 'ended';
my $received = '';
$SIG{CHLD} = sub { };    # interrupts select, so an end is seen at once
$SIG{PIPE} = 'IGNORE';
while (!$dead) {
    my $ready = '';
    vec($ready, 4, 1) = 1;
    # The limit covers a SIGCHLD that arrives just before the call.
    if (select($ready, undef, undef, 0.1) > 0) {
        my $count = sysread $driver, $received, 4096, length $received;
        if (!$count) { $reason = 'driver'; last }
        while ($received =~ s/^(\w+)\n//) {
            if    ($1 eq 'cut')  { kill 'STOP', $helper if $helper }
            elsif ($1 eq 'mend') { kill 'CONT', $helper if $helper }
            elsif ($1 eq 'kill') { $reason = 'killed'; kill 'KILL', -$guest, $guest }
        }
    }
    if (time >= $deadline && $reason eq 'ended') { $reason = 'limit'; kill 'KILL', -$guest, $guest }
    reap();
}
kill 'KILL', -$guest, $guest, $helper ? (-$helper, $helper) : ();
# The kernel's processes share its group; report only once the last is gone.
for (1 .. 2000) { reap(); last unless kill(0, -$guest) || ($helper && kill(0, -$helper)); select undef, undef, undef, 0.005 }
syswrite $starter, '.';
waitpid $second, 0;
syswrite $driver, sprintf("exit %d %d %s\n", $status >> 8, $status & 127, $reason) if $reason ne 'driver';
