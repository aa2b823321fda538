package dev.guildhall.router.forward;

import dev.guildhall.router.gate.Routing;
import io.netty.buffer.ByteBuf;

/**
 * What a layer answers.
 *
 * @param lost of the routes that the gate chose
 * @param fanOutNanos from the first batch sent to the last one back
 * @param queueNanos the longest that a batch waited at its replica for others
 * @param output [tokens, H] fp32; ownership goes with the result
 */
public record ForwardResult(
    Routing routing, LostRoutes lost, long fanOutNanos, long queueNanos, ByteBuf output) {}
