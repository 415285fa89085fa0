;; Imports an interface of the contract without a version.
;; Must be refused before it is compiled, by that name.
;; ends: admission ForbiddenImport
(component
  (import "fedwasm:training-plan/store" (instance)))
