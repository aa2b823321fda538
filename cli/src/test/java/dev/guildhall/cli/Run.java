package dev.guildhall.cli;

import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.charset.StandardCharsets;
import picocli.CommandLine;

/** A command that has ended, run in this process. */
record Run(int exitCode, String out, String err) {

  static Run of(String... arguments) {
    return of(Guildhall.commandLine(), arguments);
  }

  static Run of(CommandLine command, String... arguments) {
    StringWriter err = new StringWriter();
    command.setErr(new PrintWriter(err, true));
    PrintStream stdout = System.out;
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    System.setOut(new PrintStream(out, true, StandardCharsets.UTF_8));
    try {
      int exitCode = command.execute(arguments);
      return new Run(exitCode, out.toString(StandardCharsets.UTF_8), err.toString());
    } finally {
      System.setOut(stdout);
    }
  }
}
