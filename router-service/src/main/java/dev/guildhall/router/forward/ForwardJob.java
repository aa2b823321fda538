package dev.guildhall.router.forward;

import dev.guildhall.repository.MissingExperts;
import dev.guildhall.router.admission.Caller;
import dev.guildhall.router.gate.NoiseSource;
import dev.guildhall.router.gate.UsedTokens;
import dev.guildhall.tracing.RequestTrace;
import io.netty.buffer.ByteBuf;

/**
 * One request as its layer needs it.
 *
 * @param caller who it is for
 * @param layer its use goes with the job
 * @param hiddenStates [tokens, H] fp32; ownership goes with the job
 * @param training training mode: its capacity factor, and the gate's noise
 * @param missingExperts what to do when nobody hosts an expert that is needed
 * @param deadlineNanos on the clock of {@link System#nanoTime}
 * @param trace its span is ended by whoever tells the caller
 */
public record ForwardJob(
    Caller caller,
    ServedLayer layer,
    int tokens,
    ByteBuf hiddenStates,
    boolean training,
    UsedTokens usedTokens,
    NoiseSource noise,
    MissingExperts missingExperts,
    long deadlineNanos,
    RequestTrace trace) {}
