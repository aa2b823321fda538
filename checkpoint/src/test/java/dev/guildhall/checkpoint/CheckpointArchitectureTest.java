package dev.guildhall.checkpoint;

import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.classes;
import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.noClasses;

import com.tngtech.archunit.core.domain.JavaClasses;
import com.tngtech.archunit.core.importer.ClassFileImporter;
import com.tngtech.archunit.core.importer.ImportOption;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/** Which package of the module may know which other, and which outside library. */
class CheckpointArchitectureTest {
  private static final String BLOCKS = "dev.guildhall.checkpoint";
  private static final String PROTO = "dev.guildhall.proto";

  private static JavaClasses checkpoint;

  @BeforeAll
  static void importClasses() {
    checkpoint =
        new ClassFileImporter()
            .withImportOption(new ImportOption.DoNotIncludeTests())
            .importPackages("dev.guildhall.checkpoint");
  }

  @Test
  void torchKnowsTensorsAndTheUnpicklerOnly() {
    onlyDependsOn("torch", "net.razorvine.pickle");
  }

  @Test
  void deepspeedKnowsTorchFilesAndWhatBlocksAre() {
    onlyDependsOn("deepspeed", "dev.guildhall.checkpoint.torch", BLOCKS, PROTO);
  }

  @Test
  void huggingfaceKnowsWhatBlocksAre() {
    onlyDependsOn("huggingface", "com.google.gson", BLOCKS, PROTO);
  }

  @Test
  void blocksKnowNoSource() {
    noClasses()
        .that()
        .resideInAPackage(BLOCKS)
        .should()
        .dependOnClassesThat()
        .resideInAPackage(BLOCKS + ".*")
        .check(checkpoint);
  }

  private static void onlyDependsOn(String name, String... others) {
    String[] allowed =
        Stream.concat(
                Stream.of(
                    "java..",
                    "org.jspecify.annotations",
                    "com.google.errorprone.annotations",
                    "dev.guildhall.error",
                    "dev.guildhall.tensor",
                    "dev.guildhall.safetensors",
                    "dev.guildhall.checkpoint." + name),
                Stream.of(others))
            .toArray(String[]::new);
    classes()
        .that()
        .resideInAPackage("dev.guildhall.checkpoint." + name)
        .should()
        .onlyDependOnClassesThat()
        .resideInAnyPackage(allowed)
        .check(checkpoint);
  }
}
