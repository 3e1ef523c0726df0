//! `at com.acme.shop.Cart.total(Cart.java:57)`, which Kotlin and Scala write, too.

use super::path;
use super::place::colon_number;
use super::{Frame, Language};

/// What packages of runtimes, frameworks and drivers begin with, in order.
const LIBRARIES: [&str; 69] = [
    "android",
    "androidx",
    "ch.qos",
    "clojure",
    "com.amazonaws",
    "com.android",
    "com.fasterxml",
    "com.google.android",
    "com.google.common",
    "com.google.gson",
    "com.google.inject",
    "com.microsoft.sqlserver",
    "com.mongodb",
    "com.mysql",
    "com.netflix",
    "com.squareup",
    "com.sun",
    "com.zaxxer",
    "dalvik",
    "feign",
    "groovy",
    "io.grpc",
    "io.ktor",
    "io.lettuce",
    "io.micronaut",
    "io.netty",
    "io.quarkus",
    "io.reactivex",
    "io.smallrye",
    "io.undertow",
    "io.vertx",
    "jakarta",
    "java",
    "javax",
    "jdk",
    "kotlin",
    "kotlinx",
    "libcore",
    "net.bytebuddy",
    "okhttp3",
    "okio",
    "oracle",
    "org.apache",
    "org.aspectj",
    "org.codehaus",
    "org.eclipse",
    "org.glassfish",
    "org.gradle",
    "org.h2",
    "org.hibernate",
    "org.jboss",
    "org.jetbrains",
    "org.junit",
    "org.mariadb",
    "org.mockito",
    "org.postgresql",
    "org.quartz",
    "org.reactivestreams",
    "org.slf4j",
    "org.springframework",
    "org.thymeleaf",
    "org.wildfly",
    "reactor",
    "redis.clients",
    "retrofit2",
    "rx",
    "scala",
    "software.amazon.awssdk",
    "sun",
];

/// Ways to call a method that the runtime changes as it likes: it reflects natively a few times
/// and then generates an accessor with a number.
const REFLECTION: [&str; 4] = [
    "sun.reflect.",
    "jdk.internal.reflect.",
    "java.lang.reflect.",
    "java.lang.invoke.",
];

/// Marks of classes that are made at run time.
const GENERATED: [&str; 5] = [
    "$$Lambda",
    "$$EnhancerBy",
    "$$FastClassBy",
    "$$SpringCGLIB$$",
    ".$Proxy",
];

/// Endings of source files.
const SOURCES: [&str; 6] = [".java", ".kt", ".kts", ".scala", ".groovy", ".clj"];

/// True for frames that come and go without a change of the program.
pub(super) fn is_generated(before: &str) -> bool {
    if before.contains('$') && GENERATED.iter().any(|mark| before.contains(mark)) {
        return true;
    }
    let function = without_module(before);
    REFLECTION.iter().any(|start| function.starts_with(start))
}

/// Reads a frame from the texts before and after its first parenthesis. What follows the second
/// one (loggers name the archive there) does not matter.
pub(super) fn frame<'t>(before: &'t str, after: &'t str) -> Option<Frame<'t>> {
    let (inside, _) = after.split_once(')')?;
    let function = without_module(before);
    if !function.contains('.') || function.contains([' ', '/', ':']) {
        return None;
    }
    let (file, line) = match colon_number(inside) {
        Some((file, line)) => (file, Some(line)),
        None => (inside, None),
    };
    let (file, line) = match file {
        "Native Method" | "Unknown Source" | "<generated>" => ("", None),
        file if SOURCES.iter().any(|ending| file.ends_with(ending)) => (file, line),
        // Shrunk archives name no real file.
        file if line.is_some() && !file.contains(['/', '\\', '.', ':', ' ']) => (file, line),
        _ => return None,
    };
    Some(Frame {
        language: Language::Java,
        function,
        file,
        line,
        column: None,
        in_app: !is_library(function),
    })
}

fn is_library(function: &str) -> bool {
    path::in_order(&LIBRARIES, function)
}

/// Takes off `app//` or `java.base@21.0.1/`.
fn without_module(function: &str) -> &str {
    function.rsplit('/').next().unwrap_or(function)
}

/// The function without the numbers of lambdas, anonymous and generated classes.
pub(super) fn stable_function(function: &str, out: &mut String) {
    let mut after_dollar = false;
    for letter in function.chars() {
        let numbering = after_dollar && letter.is_ascii_digit();
        if !numbering {
            out.push(letter);
            after_dollar = letter == '$';
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_in_order() {
        path::check_order(&LIBRARIES);
    }
}
