package dev.guildhall.router.api.http;

import dev.guildhall.rpc.HttpTls;
import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.ScheduledExecutorService;

/**
 * How HTTP is served.
 *
 * @param port 0 picks a free one
 * @param tls plain HTTP without
 * @param maxBodyBytes of a request, as it comes and unpacked
 * @param timeout for a request's body to arrive, for its answer to be taken, and for what is
 *     between where the request says nothing
 * @param timer ends the connections of those who do not take their answers, which does not block it
 * @param grace how long requests in progress may go on when the port closes
 */
public record HttpSettings(
    int port,
    Optional<HttpTls> tls,
    int maxBodyBytes,
    Duration timeout,
    ScheduledExecutorService timer,
    Duration grace) {}
