package dev.guildhall.checkpoint;

import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.classes;

import com.tngtech.archunit.core.domain.JavaClasses;
import com.tngtech.archunit.core.importer.ClassFileImporter;
import com.tngtech.archunit.core.importer.ImportOption;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/** Which package of the module may know which other, and which outside library. */
class CheckpointArchitectureTest {
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
  void deepspeedKnowsTorchFiles() {
    onlyDependsOn("deepspeed", "dev.guildhall.checkpoint.torch");
  }

  private static void onlyDependsOn(String name, String other) {
    classes()
        .that()
        .resideInAPackage("dev.guildhall.checkpoint." + name)
        .should()
        .onlyDependOnClassesThat()
        .resideInAnyPackage(
            "java..",
            "org.jspecify.annotations",
            "com.google.errorprone.annotations",
            "dev.guildhall.error",
            "dev.guildhall.tensor",
            "dev.guildhall.safetensors",
            "dev.guildhall.checkpoint." + name,
            other)
        .check(checkpoint);
  }
}
