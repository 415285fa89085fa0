;; Imports from a later version of the contract.
;; Must be refused before it is compiled, with both versions.
;; ends: admission OtherVersion
(component
  (import "fedwasm:training-plan/store@0.3.0" (instance)))
