;; Imports a core module.
;; Must be refused before it is compiled, by that name.
;; ends: admission ForbiddenImport
(component
  (import "code" (core module
    (export "run" (func)))))
