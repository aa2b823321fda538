package dev.guildhall.expert;

import static com.tngtech.archunit.base.DescribedPredicate.not;
import static com.tngtech.archunit.core.domain.JavaClass.Predicates.resideInAPackage;
import static com.tngtech.archunit.core.domain.JavaClass.Predicates.type;
import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.noClasses;

import com.tngtech.archunit.core.domain.JavaClasses;
import com.tngtech.archunit.core.importer.ClassFileImporter;
import com.tngtech.archunit.core.importer.ImportOption;
import dev.guildhall.expert.runtime.ExpertRuntime;
import org.junit.jupiter.api.Test;

/** The rooms of the expert service, exchange to batching to runtime, and their walls. */
class ExpertArchitectureTest {
  private static final String EXCHANGE = "dev.guildhall.expert.exchange..";
  private static final String BATCHING = "dev.guildhall.expert.batching..";
  private static final String RUNTIME = "dev.guildhall.expert.runtime..";

  private static final JavaClasses CLASSES =
      new ClassFileImporter()
          .withImportOption(new ImportOption.DoNotIncludeTests())
          .importPackages("dev.guildhall.expert");

  @Test
  void batchingKnowsNeitherTransportNorOnnxRuntimeNorMetrics() {
    noClasses()
        .that()
        .resideInAPackage(BATCHING)
        .should()
        .dependOnClassesThat()
        .resideInAnyPackage(
            "io.grpc..",
            "io.netty..",
            "ai.onnxruntime..",
            "io.micrometer..",
            "dev.guildhall.onnx..",
            "dev.guildhall.proto..",
            "dev.guildhall.rpc..")
        .check(CLASSES);
  }

  @Test
  void batchingKnowsTheRuntimeByItsInterfaceAlone() {
    noClasses()
        .that()
        .resideInAPackage(BATCHING)
        .should()
        .dependOnClassesThat(resideInAPackage(RUNTIME).and(not(type(ExpertRuntime.class))))
        .check(CLASSES);
  }

  @Test
  void nothingCallsBackUp() {
    noClasses()
        .that()
        .resideInAPackage(RUNTIME)
        .should()
        .dependOnClassesThat()
        .resideInAnyPackage(BATCHING, EXCHANGE)
        .check(CLASSES);
    noClasses()
        .that()
        .resideInAPackage(BATCHING)
        .should()
        .dependOnClassesThat()
        .resideInAPackage(EXCHANGE)
        .check(CLASSES);
  }

  @Test
  void onlyTheExchangeKnowsGrpc() {
    noClasses()
        .that()
        .resideInAnyPackage(BATCHING, RUNTIME)
        .should()
        .dependOnClassesThat()
        .resideInAPackage("io.grpc..")
        .check(CLASSES);
  }

  @Test
  void theExchangeDoesNotKnowOnnxRuntime() {
    noClasses()
        .that()
        .resideInAPackage(EXCHANGE)
        .should()
        .dependOnClassesThat()
        .resideInAPackage("ai.onnxruntime..")
        .allowEmptyShould(true)
        .check(CLASSES);
  }

  @Test
  void theExpertServiceDoesNotKnowTheRouter() {
    noClasses()
        .should()
        .dependOnClassesThat()
        .resideInAPackage("dev.guildhall.router..")
        .check(CLASSES);
  }
}
