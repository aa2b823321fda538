package dev.guildhall.cli;

import dev.guildhall.proto.MissingExperts;

/** What to do about experts without a host, by the names that flags take. */
@SuppressWarnings("ConstantField")
enum MissingExpertsPolicy {
  fail(MissingExperts.MISSING_EXPERTS_FAIL),
  drop(MissingExperts.MISSING_EXPERTS_DROP);

  private final MissingExperts proto;

  MissingExpertsPolicy(MissingExperts proto) {
    this.proto = proto;
  }

  MissingExperts proto() {
    return proto;
  }
}
