package dev.guildhall.router;

import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.noClasses;
import static com.tngtech.archunit.library.Architectures.layeredArchitecture;

import com.tngtech.archunit.core.domain.JavaClasses;
import com.tngtech.archunit.core.importer.ClassFileImporter;
import com.tngtech.archunit.core.importer.ImportOption;
import java.time.Clock;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/** The order of the router's packages: a request walks down it once, nothing calls back up. */
class RouterArchitectureTest {
  private static final String ROUTER = "dev.guildhall.router";

  private static JavaClasses router;

  @BeforeAll
  static void importClasses() {
    router =
        new ClassFileImporter()
            .withImportOption(new ImportOption.DoNotIncludeTests())
            .importPackages(ROUTER);
  }

  private static String in(String name) {
    return ROUTER + "." + name + "..";
  }

  @Test
  void gateDispatchAndCombineArePure() {
    noClasses()
        .that()
        .resideInAnyPackage(in("gate"), in("dispatch"), in("combine"))
        .should()
        .dependOnClassesThat()
        .resideInAnyPackage(
            "io.grpc..", "io.netty..", "ai.onnxruntime..", "io.micrometer..", "org.slf4j..")
        .orShould()
        .dependOnClassesThat()
        .areAssignableTo(Clock.class)
        .check(router);
  }

  @Test
  void packagesCallDownwardsOnly() {
    layeredArchitecture()
        .consideringOnlyDependenciesInLayers()
        .withOptionalLayers(true)
        .layer("api")
        .definedBy(in("api"))
        .layer("forward")
        .definedBy(in("forward"))
        .layer("admission")
        .definedBy(in("admission"))
        .layer("projection")
        .definedBy(in("projection"))
        .layer("gate")
        .definedBy(in("gate"))
        .layer("dispatch")
        .definedBy(in("dispatch"))
        .layer("combine")
        .definedBy(in("combine"))
        .layer("exchange")
        .definedBy(in("exchange"))
        .layer("replicas")
        .definedBy(in("replicas"))
        .whereLayer("api")
        .mayNotBeAccessedByAnyLayer()
        .whereLayer("forward")
        .mayOnlyBeAccessedByLayers("api")
        .whereLayer("admission")
        .mayOnlyBeAccessedByLayers("api", "forward")
        .whereLayer("projection")
        .mayOnlyBeAccessedByLayers("api", "forward")
        .whereLayer("gate")
        .mayOnlyBeAccessedByLayers("api", "forward", "dispatch")
        .whereLayer("dispatch")
        .mayOnlyBeAccessedByLayers("forward", "exchange", "combine")
        .whereLayer("combine")
        .mayOnlyBeAccessedByLayers("forward")
        .whereLayer("replicas")
        .mayOnlyBeAccessedByLayers("api", "forward")
        .whereLayer("exchange")
        .mayOnlyBeAccessedByLayers("forward", "replicas")
        .check(router);
  }

  @Test
  void onlyThePackagesThatTalkToOthersUseGrpc() {
    noClasses()
        .that()
        .resideInAnyPackage(
            in("forward"),
            in("admission"),
            in("projection"),
            in("gate"),
            in("dispatch"),
            in("combine"))
        .should()
        .dependOnClassesThat()
        .resideInAPackage("io.grpc..")
        .check(router);
  }

  @Test
  void onlyTheHttpPortUsesJetty() {
    noClasses()
        .that()
        .resideInAPackage(ROUTER + "..")
        .and()
        .resideOutsideOfPackage(in("api.http"))
        .should()
        .dependOnClassesThat()
        .resideInAPackage("org.eclipse.jetty..")
        .check(router);
  }

  @Test
  void onlyTheProjectionUsesOnnxRuntime() {
    noClasses()
        .that()
        .resideInAPackage(ROUTER + "..")
        .and()
        .resideOutsideOfPackage(in("projection"))
        .should()
        .dependOnClassesThat()
        .resideInAPackage("ai.onnxruntime..")
        .check(router);
  }
}
