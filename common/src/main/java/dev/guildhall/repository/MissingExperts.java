package dev.guildhall.repository;

/** What becomes of a request that needs an expert that no replica hosts. */
public enum MissingExperts {
  /** It fails with UNAVAILABLE, naming the experts. */
  FAIL,
  /** The expert's routes are dropped, and the answer says so. */
  DROP
}
