package dev.guildhall.cli.chaos;

import static java.lang.foreign.ValueLayout.JAVA_INT;

import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.invoke.MethodHandle;

/** kill(2), for signals that have to be exact in time. */
final class Signals {
  static final int STOP = 19;
  static final int CONTINUE = 18;

  private static final MethodHandle KILL = kill();

  private Signals() {}

  @SuppressWarnings("restricted") // kill(2) takes two numbers and keeps nothing.
  private static MethodHandle kill() {
    Linker linker = Linker.nativeLinker();
    return linker.downcallHandle(
        linker.defaultLookup().find("kill").orElseThrow(),
        FunctionDescriptor.of(JAVA_INT, JAVA_INT, JAVA_INT));
  }

  static void send(long pid, int signal) {
    try {
      int failed = (int) KILL.invokeExact((int) pid, signal);
      if (failed != 0) {
        throw new IllegalStateException("process %d took no signal %d".formatted(pid, signal));
      }
    } catch (RuntimeException | Error e) {
      throw e;
    } catch (Throwable e) {
      throw new IllegalStateException(e);
    }
  }
}
