;; Imports a component of the contract's own package by name and version.
;; Must be refused before it is compiled, by that name.
;; ends: admission ForbiddenImport
(component
  (import "locked-dep=<fedwasm:training-plan/store@0.1.0>" (component)))
