;; Imports from the namespace of another, with the package name of the contract.
;; Must be refused before it is compiled, by that name.
;; ends: admission ForbiddenImport
(component
  (import "fedwasn:training-plan/store@0.1.0" (instance)))
